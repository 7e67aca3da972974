"""Requests, lines and results of `/v1/batches` in OpenAI's JSON."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import msgspec
from msgspec import Raw, Struct

from gateway.errors import BadRequest
from gateway.wire.json_fields import decoded

ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses")
WINDOW = "24h"
MOST_ERRORS = 100
MOST_PAIRS, LONGEST_NAME, LONGEST_VALUE = 16, 64, 512
_encode = msgspec.json.Encoder().encode


class BatchRequest(Struct):
    """The body of a request for a new batch."""

    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: dict[str, str] | None = None


class BatchLine(Struct):
    """One line of a batch's file."""

    custom_id: str
    url: str
    body: Raw
    method: str = "POST"


class _Streaming(Struct):
    stream: bool | None = False


_new = msgspec.json.Decoder(BatchRequest)
_line = msgspec.json.Decoder(BatchLine)
_streaming = msgspec.json.Decoder(_Streaming)


def new_batch(raw: bytes) -> BatchRequest:
    """Decode the request for a new batch. Raises `BadRequest`."""
    made: BatchRequest = decoded(_new, raw)
    if made.endpoint not in ENDPOINTS:
        known = ", ".join(ENDPOINTS)
        raise BadRequest(f"Invalid value for 'endpoint': {made.endpoint[:100]!r}. Known: {known}.", param="endpoint")
    if made.completion_window != WINDOW:
        raise BadRequest("'completion_window' must be '24h'.", param="completion_window")
    pairs = made.metadata or {}
    if len(pairs) > MOST_PAIRS or any(len(name) > LONGEST_NAME or len(pairs[name]) > LONGEST_VALUE for name in pairs):
        what = (
            f"'metadata' may have {MOST_PAIRS} pairs, names of {LONGEST_NAME} and values of {LONGEST_VALUE} characters."
        )
        raise BadRequest(what, param="metadata")
    return made


def line_of(raw: bytes) -> BatchLine:
    """Decode a line that was checked."""
    return _line.decode(raw)


def faults(lines: Iterable[bytes], endpoint: str, most: int) -> Iterator[dict[str, Any]]:
    """Yield what is wrong with the lines of a batch's file, as OpenAI's errors. Empty lines count for nothing."""
    seen: set[str] = set()
    number = 0
    for number, raw in enumerate(lines, 1):
        try:
            line = _line.decode(raw)
            stream = _streaming.decode(line.body).stream
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            yield _fault(
                "invalid_json_line", "This line is not a JSON object with custom_id, method, url and body.", number
            )
            continue
        if line.method != "POST":
            yield _fault("invalid_method", "The method must be POST.", number, "method")
        if line.url != endpoint:
            yield _fault("mismatched_url", f"The url must be {endpoint}, the batch's endpoint.", number, "url")
        if stream:
            yield _fault("invalid_request", "A line of a batch cannot be streamed.", number, "body.stream")
        if not line.custom_id or line.custom_id in seen:
            yield _fault("duplicate_custom_id", "Each line needs a custom_id of its own.", number, "custom_id")
        seen.add(line.custom_id)
        if number > most:
            yield _fault("too_many_tasks", f"A batch may have at most {most} lines.", number)
            return
    if not number:
        yield _fault("empty_file", "The file has no lines.")


def _fault(code: str, message: str, line: int | None = None, param: str | None = None) -> dict[str, Any]:
    return {"code": code, "message": message, "param": param, "line": line}


def result(custom_id: str, exchange: str, status: int, body: bytes) -> bytes:
    """Encode the answer to a line."""
    # a file of results has one a line, and many servers indent their JSON
    body = body.replace(b"\r", b" ").replace(b"\n", b" ")
    try:
        answer: Any = Raw(body) if msgspec.json.decode(body) is not None else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        answer = body.decode("utf-8", "replace")
    response = {"status_code": status, "request_id": exchange, "body": answer}
    return _encode({"id": f"batch_req_{exchange}", "custom_id": custom_id, "response": response, "error": None})


def unanswered(custom_id: str, number: int, code: str, message: str) -> bytes:
    """Encode a line that was not executed."""
    error = {"code": code, "message": message}
    return _encode({"id": f"batch_req_{number}", "custom_id": custom_id, "response": None, "error": error})


def encoded(value: object) -> str:
    """Encode errors for the store."""
    return _encode(value).decode()


class ShownBatch(Protocol):
    """The values from which the JSON of a batch is built."""

    @property
    def id(self) -> str: ...
    @property
    def endpoint(self) -> str: ...
    @property
    def input_file(self) -> str: ...
    @property
    def output_file(self) -> str: ...
    @property
    def error_file(self) -> str: ...
    @property
    def metadata(self) -> dict[str, str]: ...
    @property
    def status(self) -> str: ...
    @property
    def times(self) -> dict[str, int]: ...
    @property
    def errors(self) -> list[dict[str, Any]]: ...
    @property
    def total(self) -> int: ...
    @property
    def completed(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def created(self) -> int: ...
    @property
    def expires(self) -> int: ...


def batch(stored: ShownBatch) -> dict[str, Any]:
    times = stored.times
    stages = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
    return {
        "id": stored.id,
        "object": "batch",
        "endpoint": stored.endpoint,
        "errors": {"object": "list", "data": stored.errors} if stored.errors else None,
        "input_file_id": stored.input_file,
        "completion_window": WINDOW,
        "status": stored.status,
        "output_file_id": stored.output_file or None,
        "error_file_id": stored.error_file or None,
        "created_at": stored.created,
        "expires_at": stored.expires,
        **{f"{stage}_at": times.get(stage) for stage in stages},
        "request_counts": {"total": stored.total, "completed": stored.completed, "failed": stored.failed},
        "metadata": stored.metadata or None,
    }
