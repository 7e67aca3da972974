"""Observes a gateway from another process: how fast `/health/live` answers, and what ordinary requests get."""

import json
import multiprocessing
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from harness.processes import HOST

LIVE_EVERY_S = 0.02
ASK_EVERY_S = 0.1
TIMEOUT_S = 10.0


@dataclass
class Seen:
    """For each health check, milliseconds and status; for each ordinary request, its status. Status 0 means no
    answer."""

    live_ms: list[float] = field(default_factory=list)
    live: Counter[int] = field(default_factory=Counter)
    asked: Counter[int] = field(default_factory=Counter)
    asked_ms: list[float] = field(default_factory=list)

    def worst_ms(self) -> float:
        return max(self.live_ms, default=0.0)

    def p99_ms(self) -> float:
        return sorted(self.live_ms)[int(len(self.live_ms) * 0.99)] if self.live_ms else 0.0


class Probe:
    """Observes while its `with` block runs. `seen` is set afterwards."""

    def __init__(self, port: int, health_port: int, key: str) -> None:
        self._args = (port, health_port, key)
        self.seen = Seen()

    def __enter__(self) -> "Probe":
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_watch, args=(theirs, *self._args), daemon=True)
        self._process.start()
        self._ours.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.send("stop")
        self.seen = self._ours.recv()
        self._process.join(5)


def _watch(pipe: Connection, port: int, health_port: int, key: str) -> None:
    seen, over = Seen(), threading.Event()
    live = b"GET /health/live HTTP/1.1\r\nhost: %b\r\nconnection: close\r\n\r\n" % HOST.encode()
    body = json.dumps({"model": "quick", "messages": [{"role": "user", "content": "hello"}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {key}\r\nconnection: close\r\n"
    ask = head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body

    def look() -> None:
        while not over.wait(LIVE_EVERY_S):
            status, took_ms = _once(health_port, live)
            seen.live[status] += 1
            seen.live_ms.append(took_ms)

    def use() -> None:
        while not over.wait(ASK_EVERY_S):
            status, took_ms = _once(port, ask)
            seen.asked[status] += 1
            seen.asked_ms.append(took_ms)

    threads = [threading.Thread(target=one, daemon=True) for one in (look, use)]
    for thread in threads:
        thread.start()
    pipe.send("begun")
    pipe.recv()
    over.set()
    for thread in threads:
        thread.join(TIMEOUT_S + 1)
    pipe.send(seen)


def _once(port: int, request: bytes) -> tuple[int, float]:
    """Return the status (0 for no answer) and milliseconds."""
    began, answer = time.monotonic(), b""
    try:
        with socket.create_connection((HOST, port), timeout=TIMEOUT_S) as connection:
            connection.sendall(request)
            while piece := connection.recv(65536):
                answer += piece
    except OSError:
        pass
    status = int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0
    return status, (time.monotonic() - began) * 1000
