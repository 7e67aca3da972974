"""`foreword serve`: checks the configuration, opens the ports, and supervises the workers."""

import errno
import gc
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gateway.cli.check import mistakes, unwritable
from gateway.cli.config import config_option, load_settings, report
from gateway.errors import ConfigError, Problem
from gateway.settings.read import load, load_posted, read_file
from gateway.settings.server import is_loopback
from gateway.settings.tables import Settings

BACKLOG = 4096
"""The maximum length of the system's queue of new connections. The system limits the length to net.core.somaxconn."""
HEALTH_BACKLOG = 128


class PortNumber(click.IntRange):
    """A port number of at least `min`."""

    name = "port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is not a port. A port is a number from {self.min} to {self.max}.", param, ctx)


PORT = PortNumber(1, 65535)

log = logging.getLogger("foreword.supervisor")


def share_metrics(settings: Settings) -> None:
    """Create an empty folder for the metrics of all workers, and tell Prometheus' client its path."""
    folder = settings.data_folder / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)


def _not_made(settings: Settings) -> list[Problem]:
    """Create the data folder and try to write to it. Returns the problem if that fails, else an empty list."""
    try:
        settings.data_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.data_folder):
            return []
    except OSError as error:
        return [unwritable(settings, error.strerror or str(error))]


def _open_port(host: str, port: int, backlog: int) -> socket.socket:
    """Open a listening socket. Raises `OSError`."""
    family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # keepalive detects clients whose machine has gone
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listening.bind(place)
        listening.listen(backlog)
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening


def _closed_port(file: str, name: str, host: str, port: int, error: OSError) -> Problem:
    """Describe why a port cannot be opened."""
    if error.errno == errno.EADDRINUSE:
        option = name.replace("_", "-")
        remedy = f"Stop the program that listens on this port, or choose another port, for example with --{option}."
        return Problem(f"{file} [server] {name}", f"{host}:{port} is in use", remedy)
    what = f"cannot listen on {host}:{port}: {error.strerror or error}"
    return Problem(f"{file} [server] host", what, "Name an address of this machine and a free port.")


def _open_ports(settings: Settings) -> tuple[socket.socket, socket.socket | None]:
    """Open the port for requests and, if configured, the port for health and metrics. Raises `ConfigError`."""
    server, file = settings.server, settings.file
    try:
        listening = _open_port(server.host, server.port, BACKLOG)
    except OSError as error:
        raise ConfigError([_closed_port(file, "port", server.host, server.port, error)]) from None
    port = server.port + 1 if server.health_port is None else server.health_port
    if not port or port > 65535:
        return listening, None
    try:
        return listening, _open_port(server.host, port, HEALTH_BACKLOG)
    except OSError as error:
        if server.health_port is not None:
            raise ConfigError([_closed_port(file, "health_port", server.host, port, error)]) from None
        log.warning("no port for health and metrics: %s:%d is in use; set [server] health_port", server.host, port)
        return listening, None


def _is_local(host: str) -> bool:
    """Whether a Host header names this machine."""
    name = host.lower()
    return is_loopback(name.rsplit(":", 1)[0] if not name.endswith("]") else name)


def _prepare_process(settings: Settings) -> None:
    """Set up logging and the environment variables that workers inherit."""
    from gateway.telemetry.logs import set_up

    set_up(settings.server.log_level)
    # small matrices multiply faster on one thread, and the other cores have other work
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _check_again(config: Path, given: dict[str, Any]) -> Callable[[str | None], None]:
    def check(posted: str | None) -> None:
        problems = mistakes(config, given, posted)
        if problems:
            raise ConfigError(problems)

    return check


def _serve(config: Path, settings: Settings, given: dict[str, Any]) -> int:
    # imported before workers start, so that they share this memory and a replacement starts quickly
    from gateway.cli.warm import warm
    from gateway.server.app import create
    from gateway.serving.limits import limits_of, raise_open_files
    from gateway.serving.shared_config import SharedConfig
    from gateway.serving.supervisor import Supervisor
    from gateway.serving.tls import tls_of
    from gateway.serving.worker import work

    files = raise_open_files()
    listening, health = _open_ports(settings)

    def life(channel: socket.socket, taken: Settings) -> int:
        return work(
            lambda: create(taken),
            limits_of(taken.server, files),
            listening,
            channel,
            drain_s=taken.server.drain_s,
            tls=lambda: tls_of(taken),
        )

    def read(posted: str | None) -> Settings:
        return _with(load(config) if posted is None else load_posted(posted, config), given)

    warm(settings)
    scheme = "https" if settings.server.tls_cert else "http"
    log.info("serving", extra={"url": f"{scheme}://{settings.server.host}:{settings.server.port}", "pid": os.getpid()})
    return Supervisor(
        settings,
        life,
        check=_check_again(config, given),
        read=read,
        listening=listening,
        health=health,
        shared=SharedConfig(settings.data_folder, config),
        is_allowed=(lambda _: True) if settings.keys else _is_local,
    ).run()


def _with(settings: Settings, given: dict[str, Any]) -> Settings:
    """Override settings with values from the command line."""
    from msgspec.structs import replace

    return replace(settings, server=replace(settings.server, **given))


@click.command()
@config_option
@click.option("--host", help="Listen here instead of [server] host.")
@click.option("--port", type=PORT, help="Listen here instead of [server] port.")
@click.option(
    "--health-port", type=PortNumber(0, 65535), help="Use this port instead of [server] health_port. 0: no such port."
)
def serve(config: Path, host: str | None, port: int | None, health_port: int | None) -> None:
    """Serve the gateway.

    The port opens at once. GET /health/ready lists the parts that are still loading. On SIGTERM the gateway finishes
    the running requests and exits. On SIGHUP it reloads the configuration.

    \b
    Then, for example:
        curl http://127.0.0.1:8080/v1/chat/completions \\
          -H 'content-type: application/json' \\
          -d '{"messages": [{"role": "user", "content": "Summarise this: ..."}]}'
    """
    # everything made from here on lives until the end; the application turns garbage collection on when it opens
    gc.disable()
    options = {"host": host, "port": port, "health_port": health_port}
    given = {name: value for name, value in options.items() if value is not None}
    readable, problems = read_file(config)
    if readable is not None and not problems and readable.server.workers > 1 and not _not_made(readable):
        # the folder must exist before Prometheus' client is imported, which looks for it
        share_metrics(readable)
    problems = mistakes(config, given)
    if problems:
        report(ConfigError(problems))
    settings = _with(load_settings(config), given)
    problems = _not_made(settings)
    if problems:
        report(ConfigError(problems))
    _prepare_process(settings)
    try:
        status = _serve(config, settings, given)
    except ConfigError as error:
        report(error)
    raise SystemExit(status)
