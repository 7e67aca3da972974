"""Writes one line for each request: who asked what, which backend answered, and how long it took. Never any text.

A thread of its own writes, so that a slow disk or a reader of standard output that stands still delays no request.
"""

import contextlib
import json
import logging
import logging.handlers
import queue
import re
import sys
import threading
from datetime import UTC, datetime
from typing import Literal

import msgspec
from msgspec import Struct

MOST_WAITING = 10_000
"""This many lines may wait to be written. Further ones are dropped and counted."""
LONGEST = 200
CLOSE_S = 2.0
_TAIL_BYTES = 16 * 1024
"""An answer reports its tokens at its end, or in the head of a stream of Anthropic's API."""
_READ = re.compile(rb'"(?:prompt|input)_tokens"\s*:\s*(\d{1,15})')
_WRITTEN = re.compile(rb'"(?:completion|output)_tokens"\s*:\s*(\d{1,15})')
_PLAIN = re.compile(r"[!#-<>-\[\]-~]+")


class AccessLine(Struct):
    """The contents of a line. Empty texts and -1 are left out."""

    time: str = ""
    """When the request arrived (UTC)."""
    client: str = ""
    key: str = ""
    method: str = ""
    path: str = ""
    """The path without the query, which may hold a secret."""
    status: int = 0
    """The status that was sent, or 499 if the client left before."""
    ms: float = 0.0
    """From the head of the request to the last byte of the answer."""
    id: str = ""
    model: str = ""
    """The model that the client named."""
    backend: str = ""
    upstream: str = ""
    """The backend's name for the model."""
    ending: str = ""
    tokens_read: int = -1
    """The tokens of the prompt, as the backend counted them."""
    tokens_written: int = -1

    def count(self, answer: bytes) -> None:
        """Find the tokens in the bytes of an answer. The answer is not parsed."""
        ends = answer if len(answer) <= 2 * _TAIL_BYTES else answer[:_TAIL_BYTES] + answer[-_TAIL_BYTES:]
        if read := _READ.findall(ends):
            self.tokens_read = int(read[-1])
        if written := _WRITTEN.findall(ends):
            self.tokens_written = int(written[-1])


class AccessLog:
    """The log. `target` is `stdout` or a file. The file is opened again if it was moved or deleted."""

    def __init__(self, target: str, form: Literal["line", "json"]) -> None:
        self.dropped = 0
        self._form = form
        self._waiting: queue.Queue[str | None] = queue.Queue(MOST_WAITING)
        self._handler = logging.StreamHandler(sys.stdout) if target == "stdout" else _LogFile(target, encoding="utf-8")
        # a daemon, so that a reader of standard output that stands still does not keep the process alive
        self._thread = threading.Thread(target=self._run, name="access log", daemon=True)
        self._thread.start()

    def write(self, line: AccessLine) -> None:
        text = json_line(line) if self._form == "json" else plain_line(line)
        try:
            self._waiting.put_nowait(text)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write the lines that wait, for at most two seconds, and close the file."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=CLOSE_S / 2)
        self._thread.join(CLOSE_S / 2)
        if not self._thread.is_alive():
            self._handler.close()

    def _run(self) -> None:
        while (text := self._waiting.get()) is not None:
            record = logging.LogRecord("foreword.access", logging.INFO, "", 0, text, None, None)
            try:
                self._handler.handle(record)
            except OSError:  # the folder is gone, so the file cannot be opened again
                self._handler.handleError(record)


class _LogFile(logging.handlers.WatchedFileHandler):
    """Says once that the file cannot be written, instead of once for each line."""

    _complained = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        if not self._complained:
            self._complained = True
            logging.getLogger("foreword.telemetry").error("the access log cannot be written: %s", sys.exc_info()[1])


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json_line(line: AccessLine) -> str:
    fields = {name: _cut(value) for name, value in msgspec.structs.asdict(line).items() if value not in ("", -1)}
    # ASCII alone: some readers end a line at U+0085 or U+2028
    return json.dumps(fields, separators=(",", ":"))


def plain_line(line: AccessLine) -> str:
    """Return the line as `name=value` pairs after the usual beginning. A value that could be misread is quoted."""
    head = [line.time, _shown(line.client) or "-", _shown(line.key) or "-", line.method, _shown(line.path)]
    pairs = [("id", line.id), ("model", line.model), ("backend", line.backend), ("upstream", line.upstream)]
    pairs += [("ending", line.ending)]
    numbers = [("read", line.tokens_read), ("written", line.tokens_written)]
    rest = [f"{name}={_shown(value)}" for name, value in pairs if value]
    rest += [f"{name}={number}" for name, number in numbers if number >= 0]
    return " ".join([*head, str(line.status), f"{line.ms:.1f}ms", *rest])


def _shown(text: str) -> str:
    text = text[:LONGEST]
    return text if not text or _PLAIN.fullmatch(text) else json.dumps(text)


def _cut(value: object) -> object:
    return value[:LONGEST] if isinstance(value, str) else value
