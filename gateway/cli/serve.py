"""`foreword serve`: check the configuration, then open the port."""

import errno
import gc
import os
import shutil
import socket
import tempfile
from pathlib import Path

import click

from gateway.cli.check import mistakes, unwritable
from gateway.cli.config import config_option, load_settings, report
from gateway.errors import ConfigError, Problem
from gateway.settings import Settings, read_file


def share_metrics(settings: Settings) -> None:
    """An empty folder through which the workers' metrics come together; Prometheus' client wants it named so."""
    folder = settings.data_folder / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)


def _not_made(settings: Settings) -> list[Problem]:
    """Makes the data folder, and says why it cannot be."""
    try:
        settings.data_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.data_folder):
            return []
    except OSError as error:
        return [unwritable(settings, error.strerror or str(error))]


def _taken(file: str, host: str, port: int) -> list[Problem]:
    """Why nobody can listen there; the server itself would say it with a trace of its insides."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            remedy = "Stop what listens there, or choose another port, for example with --port."
            return [Problem(f"{file} [server] port", f"{host}:{port} is in use", remedy)]
        what = f"nobody can listen on {host}:{port}: {error.strerror or error}"
        return [Problem(f"{file} [server] host", what, "Name an address of this machine and a free port.")]
    return []


@click.command()
@config_option
@click.option("--host", help="Listen here instead of [server] host.")
@click.option("--port", type=int, help="Listen here instead of [server] port.")
def serve(config: Path, host: str | None, port: int | None) -> None:
    """Serve the gateway.

    The port opens at once; GET /health/ready says what is still loading.

    \b
    Then, for example:
        curl http://127.0.0.1:8080/v1/chat/completions \\
          -H 'content-type: application/json' \\
          -d '{"messages": [{"role": "user", "content": "Summarise this: ..."}]}'
    """
    gc.disable()  # what is imported and built now stays; the application turns the collector on when it opens
    from granian.constants import Interfaces, Loops
    from granian.log import LogLevels
    from granian.server import Server

    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    readable, problems = read_file(config)
    if readable is not None and not problems and readable.server.workers > 1 and not _not_made(readable):
        share_metrics(readable)  # before anything imports Prometheus' client, which looks for the folder then
    problems = mistakes(config, given)
    if problems:
        report(ConfigError(problems))
    settings = load_settings(config)
    address, port = host or settings.server.host, port or settings.server.port
    problems = [*_not_made(settings), *_taken(settings.file, address, port)]
    if problems:
        report(ConfigError(problems))
    os.environ["FOREWORD_CONFIG"] = str(config.resolve())
    # small matrices are faster on one thread, and the second core has other work
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    Server(
        "gateway.server.app:create",
        address=address,
        port=port,
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        workers=settings.server.workers,
        factory=True,
        websockets=False,
        # a worker that is in the middle of training would not end by itself; what it recorded is in the spool
        workers_kill_timeout=10,
        log_level=LogLevels(settings.server.log_level),
    ).serve()
