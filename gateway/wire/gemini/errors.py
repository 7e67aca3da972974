"""Reads errors in the form of Google's APIs."""

import re
from typing import Any, NamedTuple

import msgspec

from gateway.wire.chat.completion import CompletionFault, loose_json, text_of
from gateway.wire.loose_objects import object_of, objects_of

_encode = msgspec.json.Encoder().encode
_SECONDS = re.compile(r"([0-9]{1,6}(?:\.[0-9]+)?)s")
STATUSES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 502,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "DATA_LOSS": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
WRONG_KEY = "API_KEY_INVALID"


class GoogleRefusal(NamedTuple):
    """A refusal in OpenAI's form. `retry_after_s` is 0 if the backend names no time."""

    status: int
    body: bytes
    retry_after_s: float = 0.0


def fault_of(answer: dict[str, Any]) -> CompletionFault | None:
    """Return the error in an answer or in an event of a stream, with its HTTP status as the code, or None."""
    error = answer.get("error")
    if not isinstance(error, dict):
        return None
    kind = text_of(error.get("status"))
    message = text_of(error.get("message")) or kind or "no reason was given"
    return CompletionFault(message, _status(error, kind), kind or None)


def refusal(body: bytes, status: int) -> GoogleRefusal:
    """Translate the body of a refusal. Some servers send it as a list."""
    answer = loose_json(body)
    if isinstance(answer, list):
        answer = answer[0] if answer else None
    fields = object_of(answer)
    error = object_of(fields.get("error"))
    fault = fault_of(fields)
    kind = (fault.type if fault else None) or ""
    told = _status(error, kind) if any(_reasons(error, WRONG_KEY)) else status
    kinds = {True: "rate_limit_error" if told == 429 else "invalid_request_error", False: "upstream_error"}
    message = (fault.message if fault else None) or f"The backend refused the request with status {status}."
    written = {"message": message, "type": kinds[told < 500], "param": None, "code": kind or None}
    return GoogleRefusal(told, _encode({"error": written}), _retry_s(error))


def _status(error: dict[str, Any], kind: str) -> int:
    if any(_reasons(error, WRONG_KEY)):
        return 401  # Google answers a wrong key with 400, as if the request were wrong
    code = error.get("code")
    if isinstance(code, int) and not isinstance(code, bool) and 400 <= code < 600 and code != 499:
        return code
    return STATUSES.get(kind, 500)


def _reasons(error: dict[str, Any], reason: str) -> list[bool]:
    return [detail.get("reason") == reason for detail in objects_of(error.get("details"))]


def _retry_s(error: dict[str, Any]) -> float:
    for detail in objects_of(error.get("details")):
        if text_of(detail.get("@type")).endswith("RetryInfo"):
            delay = _SECONDS.fullmatch(text_of(detail.get("retryDelay")))
            return float(delay[1]) if delay else 0.0
    return 0.0
