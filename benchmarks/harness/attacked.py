"""A gateway under attack: starts it in front of a slow upstream, and opens connections to it."""

import hashlib
import json
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from harness import foreword
from harness.probe import Seen
from harness.processes import HOST, Process, free_port, heaviest, rss_bytes, tree

KEY = "key-of-an-attacker"
LATE_MS = 100.0
CONFIG = """
health_port = {health}
drain_notice_s = 0.5
{server}
[prompt]
mode = "off"
templates = []
[records]
drain_s = 0.2
[keys.attacker]
sha256 = "{digest}"
admin = true
requests_per_minute = 1000000
[backends.up]
kind = "openai"
base_url = "http://{{host}}:{{upstream}}/v1"
max_connections = 5000
models = ["*"]
{more}
"""
HERE = Path(__file__).resolve().parents[1]


@dataclass
class Attacked:
    """A gateway under attack."""

    process: Process
    port: int
    health: int
    folder: Path

    def worker(self) -> int:
        return next(pid for pid in tree(self.process.pid) if pid != self.process.pid)

    def rss_mb(self) -> float:
        return rss_bytes(heaviest(self.process.pid)) / 2**20

    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8", "replace")

    def live(self) -> int:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.health}/health/live", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


@dataclass
class Outcome:
    """The result of an attack's own check. `seen` is what the other process observed."""

    held: bool
    figures: str
    seen: Seen | None = None


@contextmanager
def gateway(scratch: Path, server: str = "", more: str = "") -> Iterator[Attacked]:
    """Start a gateway in a folder of its own, in front of a slow upstream."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    upstream_port, health = free_port(), free_port()
    program = str(HERE / "harness" / "slow_upstream.py")
    upstream = Process(
        [sys.executable, program, str(upstream_port)], folder / "upstream.log", {"PYTHONPATH": str(HERE)}
    )
    try:
        upstream.wait_port(upstream_port)
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        text = CONFIG.format(health=health, server=server, digest=digest, more=more)
        process, port = foreword.start(folder / "gateway", text, upstream_port)
        try:
            yield Attacked(process, port, health, folder / "gateway")
        finally:
            process.stop()
    finally:
        upstream.stop()


def request(model: str, *, stream: bool = False, length: int | None = None) -> bytes:
    """Return a chat request. `length` announces a longer body than is sent."""
    body = json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": "hello"}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {KEY}\r\n"
    return (head + f"content-length: {length or len(body)}\r\n\r\n").encode() + body


def connect(port: int, count: int, first: bytes = b"") -> list[socket.socket]:
    connections = []
    for _ in range(count):
        with suppress(OSError):
            connection = socket.create_connection((HOST, port), timeout=10)
            connection.sendall(first)
            connections.append(connection)
    return connections


def open_still(connections: list[socket.socket]) -> int:
    """Return how many connections the gateway has left open."""
    count = 0
    for connection in connections:
        connection.setblocking(False)
        try:
            count += bool(connection.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            count += 1
        except OSError:
            pass
    return count
