"""The gateways to compare with: how to install each into a folder, and how to start it.

A peer that cannot be installed or started is reported with the reason.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from harness.processes import HOST, NotUp, Process, free_port

LITELLM = "litellm[proxy]==1.106.12"
TENSORZERO = "tensorzero==2026.6.0"
# without these pins, a fresh install of the gateway cannot stream
PORTKEY = ("@portkey-ai/gateway@1.15.2", "@hono/node-server@1.13.5", "hono@4.9.7", "@hono/node-ws@1.2.0")
INSTALL_S = 1200
MODEL = "gpt-4o-mini"


@dataclass(frozen=True)
class Running:
    """A running gateway: its port, and what clients must send."""

    process: Process
    port: int
    path: str = "/v1/chat/completions"
    model: str = MODEL
    headers: dict[str, str] = field(default_factory=dict)


Start = Callable[[Path, Path, int], Running]
"""Arguments: the folder of the installation, a scratch folder, and the upstream's port."""


def install(folder: Path) -> dict[str, str]:
    """Install missing peers. Returns the failures by peer."""
    folder.mkdir(parents=True, exist_ok=True)
    wrong = {}
    for name, step in (("litellm", _pip(LITELLM)), ("tensorzero", _pip(TENSORZERO)), ("portkey", _npm)):
        target = folder / name
        if (target / ".installed").exists():
            continue
        target.mkdir(exist_ok=True)
        try:
            step(target)
            (target / ".installed").touch()
        except (OSError, subprocess.SubprocessError) as error:
            output = getattr(error, "stderr", b"") or b""
            wrong[name] = f"not installed: {error} {output[-300:].decode('utf-8', 'replace')}".strip()
    return wrong


def _pip(requirement: str) -> Callable[[Path], None]:
    def run(target: Path) -> None:
        _run([sys.executable, "-m", "venv", str(target)])
        _run([str(target / "bin" / "pip"), "install", "--quiet", requirement])

    return run


def _npm(target: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm is not installed")
    (target / "package.json").write_text('{"name": "peer", "private": true}', "utf-8")
    _run([npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", *PORTKEY], target)


def _run(argv: list[str], cwd: Path | None = None) -> None:
    subprocess.run(argv, cwd=cwd, check=True, capture_output=True, timeout=INSTALL_S)


LITELLM_CONFIG = """
model_list:
  - model_name: "*"
    litellm_params:
      model: openai/*
      api_base: http://{host}:{port}/v1
      api_key: sk-upstream
general_settings:
  master_key: sk-benchmark
litellm_settings:
  telemetry: false
"""


def litellm(installed: Path, scratch: Path, upstream: int) -> Running:
    config, port = scratch / "litellm.yaml", free_port()
    config.write_text(LITELLM_CONFIG.format(host=HOST, port=upstream), "utf-8")
    program = str(installed / "bin" / "litellm")
    argv = [program, "--config", str(config), "--host", HOST, "--port", str(port), "--num_workers", "1"]
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
    process = Process(argv, scratch / "litellm.log", env)
    process.wait_port(port, 120)
    return Running(process, port, headers={"authorization": "Bearer sk-benchmark"})


TENSORZERO_CONFIG = """
[gateway]
observability.enabled = false

[models.benchmark]
routing = ["upstream"]

[models.benchmark.providers.upstream]
type = "openai"
model_name = "gpt-4o-mini"
api_base = "http://{host}:{port}/v1/"
api_key_location = "none"
"""
# the wheel has no executable; its client library starts the whole Rust gateway as a local server
TENSORZERO_START = """
import sys, time
from pathlib import Path
from tensorzero import _start_http_gateway
gateway = _start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
)
Path(sys.argv[2] + ".part").write_text(gateway.base_url)
Path(sys.argv[2] + ".part").rename(sys.argv[2])
while True:
    time.sleep(3600)
"""


def tensorzero(installed: Path, scratch: Path, upstream: int) -> Running:
    config, start, url = scratch / "tensorzero.toml", scratch / "start_tensorzero.py", scratch / "tensorzero.url"
    config.write_text(TENSORZERO_CONFIG.format(host=HOST, port=upstream), "utf-8")
    start.write_text(TENSORZERO_START, "utf-8")
    process = Process(
        [str(installed / "bin" / "python"), str(start), str(config), str(url)], scratch / "tensorzero.log"
    )
    process.wait_file(url, 60)
    base = url.read_text("utf-8").rstrip("/")
    port = int(base.split("//", 1)[1].split("/", 1)[0].rsplit(":", 1)[1])
    path = "/" + base.split("//", 1)[1].partition("/")[2]
    path = path.rstrip("/") if path.rstrip("/").endswith("/v1") else "/openai/v1"
    return Running(process, port, f"{path}/chat/completions", "tensorzero::model_name::benchmark")


# without an option for the address, it would listen on all addresses
LOOPBACK = """
const net = require('net');
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...args) {
  if (args[0] !== null && typeof args[0] === 'object') args[0] = { ...args[0], host: '127.0.0.1' };
  else if (typeof args[1] === 'string') args[1] = '127.0.0.1';
  else args.splice(1, 0, '127.0.0.1');
  return listen.apply(this, args);
};
"""


def portkey(installed: Path, scratch: Path, upstream: int) -> Running:
    node, port = shutil.which("node"), free_port()
    if node is None:
        raise NotUp("node is not installed")
    preload = scratch / "loopback.cjs"
    preload.write_text(LOOPBACK, "utf-8")
    server = installed / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    argv = [node, "--require", str(preload), str(server), f"--port={port}", "--headless"]
    env = {"TRUSTED_CUSTOM_HOSTS": HOST, "NODE_ENV": "production"}
    process = Process(argv, scratch / "portkey.log", env, cwd=installed)
    process.wait_port(port, 60)
    headers = {
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://{HOST}:{upstream}/v1",
        "authorization": "Bearer sk-upstream",
    }
    return Running(process, port, headers=headers)


PEERS: dict[str, Start] = {"litellm": litellm, "portkey": portkey, "tensorzero": tensorzero}


def start_with_peers(
    starts: Mapping[str, Callable[[], Running]],
    installed: Path | None,
    scratch: Path,
    upstream: int,
    missing: dict[str, str],
    stack: ExitStack,
    only: str = "",
) -> Iterator[tuple[str, Running]]:
    """Start each gateway of `starts` and then the peers, one after the other. `upstream` is the upstream's port.

    What does not start, and why, goes into `missing`. Peers that are in `missing` already are left out. Without
    `installed`, there are no peers. Gateways whose name does not contain `only` are left out. `stack` stops the
    others at the end.
    """
    peers = {
        name: partial(start, installed / name, scratch, upstream)
        for name, start in (PEERS.items() if installed else ())
        if installed and name not in missing
    }
    for name, begin in {**starts, **peers}.items():
        if only not in name:
            continue
        try:
            running = begin()
        except (NotUp, OSError) as error:
            missing[name] = f"not started: {error}"
            continue
        stack.callback(running.process.stop)
        yield name, running


def version(installed: Path, package: str) -> str:
    found = sorted(installed.glob(f"lib/python*/site-packages/{package}-*.dist-info"))
    return found[0].name.removeprefix(f"{package}-").removesuffix(".dist-info") if found else ""


def default_folder() -> Path:
    return Path(os.environ.get("TMPDIR", "/tmp")) / "foreword-benchmark-peers"
