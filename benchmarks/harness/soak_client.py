"""Sends a request to a gateway in front of a lying upstream, and judges the answer."""

import asyncio
import json
import random
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from harness.lies import ANSWER, ERROR
from harness.lying_wire import text_of
from harness.processes import HOST

LIMIT_S = 60.0
EXCHANGE = re.compile(rb"(?i)\r\nx-foreword-id: *([^\r]+)")
TOKEN = re.compile(rb"t\d{7}x")
FORMS = ("chat", "chat with account", "responses", "fallback")


class Question(NamedTuple):
    """One request: how it is sent, and how the upstream misbehaves."""

    number: int
    lie: str
    form: str
    stream: bool
    packed: bool

    @property
    def token(self) -> str:
        return f"t{self.number:07d}x"


class Wrong(Exception):
    """The client got neither a right answer nor a right error."""


def request(question: Question) -> bytes:
    said = f"What is {question.token}"
    model = f"safe-{question.lie}" if question.form == "fallback" else question.lie
    ask: dict[str, object] = {"model": model, "stream": question.stream}
    if question.form == "responses":
        ask["input"] = said
    else:
        ask["messages"] = [{"role": "user", "content": said}]
    if question.form == "chat with account":
        ask["foreword"] = {}
    body = json.dumps(ask).encode()
    path = "responses" if question.form == "responses" else "chat/completions"
    accept = "accept-encoding: gzip\r\n" if question.packed else ""
    head = f"POST /v1/{path} HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n"
    return f"{head}{accept}\r\n".encode() + body


async def outcome(port: int, question: Question, ids: set[str]) -> str:
    """Return `answer`, `error: its text`, or what is wrong. Adds the exchange's id that the answer names to `ids`."""
    try:
        async with asyncio.timeout(LIMIT_S):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(request(question))
            try:
                data = await reader.read(-1)
            finally:
                writer.close()
        ids.update(found.decode() for found in EXCHANGE.findall(data.partition(b"\r\n\r\n")[0]))
        return judged(data, question)
    except TimeoutError:
        return f"no end after {LIMIT_S:.0f} s"
    except OSError as error:
        return f"{type(error).__name__} instead of an answer"
    except Wrong as wrong:
        return str(wrong)


async def leave(port: int, question: Question) -> None:
    """Send a request, and close the connection within half a second."""
    with suppress(OSError):
        _, writer = await asyncio.open_connection(HOST, port)
        writer.write(request(question))
        await asyncio.sleep(random.random() / 2)
        writer.transport.abort()


def judged(data: bytes, question: Question) -> str:
    """Return `answer` or `error: its text`. Raises `Wrong`."""
    head, parted, body = data.partition(b"\r\n\r\n")
    if not parted:
        raise Wrong("no answer at all")
    status = int(head.split(b" ", 2)[1])
    headers = dict(_header(line) for line in head.lower().split(b"\r\n")[1:])
    if headers.get(b"transfer-encoding") == b"chunked":
        body = _unchunked(body)
    elif len(body) != int(headers.get(b"content-length", b"0")):
        raise Wrong("fewer bytes than announced")
    if headers.get(b"content-encoding") == b"gzip":
        try:
            body = zlib.decompress(body, wbits=31)
        except zlib.error:
            return f"{ERROR}: cannot be unpacked"  # every client reports it this way
    strangers = set(TOKEN.findall(body)) - {question.token.encode()}
    if strangers or b"late-" in body:
        raise Wrong(f"another request's answer: {head[:200]!r} {body[:300]!r}")
    if status != 200:
        return f"{ERROR}: {body[:120]!r}" if status >= 400 else f"status {status}"
    return _streamed(body, question) if question.stream else _whole(body, question)


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.strip(), value.strip()


def _unchunked(rest: bytes) -> bytes:
    body = b""
    while True:
        size, parted, rest = rest.partition(b"\r\n")
        if not parted:
            raise Wrong("chunks without an end")
        length = int(size, 16)
        if not length:
            return body
        body, rest = body + rest[:length], rest[length + 2 :]


def _whole(body: bytes, question: Question) -> str:
    try:
        value = json.loads(body.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        raise Wrong("a 200 that is not JSON") from None
    return _same(_response_text(value) if question.form == "responses" else _message_text(value), question)


def _same(text: str, question: Question) -> str:
    if text != text_of(question.token):
        raise Wrong(f"a 200 with the text {text[:60]!r}")
    return ANSWER


def _message_text(value: Mapping[str, Any]) -> str:
    choices = value.get("choices") or [{}]
    content = (choices[0].get("message") or {}).get("content")
    return content if isinstance(content, str) else "".join(part["text"] for part in content or ())


def _response_text(value: Mapping[str, Any]) -> str:
    parts = [part for item in value.get("output") or () for part in item.get("content") or ()]
    return "".join(part.get("text", "") for part in parts)


def _streamed(body: bytes, question: Question) -> str:
    return (_response_events if question.form == "responses" else _chunks)(list(_events(body)), question)


def _events(body: bytes) -> Iterator[str]:
    """Yield the data of each event, as a client reads a stream."""
    text = body.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n")
    for block in text.split("\n\n")[:-1]:
        lines = [line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:")]
        if any(lines):
            yield "\n".join(lines)


def _chunks(events: list[str], question: Question) -> str:
    text, ended = "", False
    for data in events:
        if data == "[DONE]":
            ended = True
            continue
        value = _object(data)
        if value.get("error"):
            return f"{ERROR}: {data[:120]}"
        for choice in value.get("choices") or ():
            content = (choice.get("delta") or {}).get("content") or ""
            text += content if isinstance(content, str) else "".join(part["text"] for part in content)
    if not ended:
        raise Wrong("a stream without an end or an error")
    return _same(text, question)


def _object(data: str) -> dict[str, Any]:
    try:
        return dict(json.loads(data))
    except ValueError:
        raise Wrong(f"an event that is not JSON: {data[:60]!r}") from None


def _response_events(events: list[str], question: Question) -> str:
    values = [_object(data) for data in events if data != "[DONE]"]
    if any(value.get("type") in ("error", "response.failed") for value in values):
        return f"{ERROR}: {values[-1]}"[:120]
    done = [value["response"] for value in values if value.get("type") == "response.completed"]
    if not done:
        raise Wrong("a stream without an end or an error")
    deltas = "".join(value["delta"] for value in values if value.get("type") == "response.output_text.delta")
    if deltas != _response_text(done[0]):
        raise Wrong("deltas that are not the response's text")
    return _same(deltas, question)
