"""Reads errors of the Converse API, in answers and inside streams."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from gateway.wire.chat.chunks import fault_chunk
from gateway.wire.chat.completion import loose_json, text_of
from gateway.wire.loose_objects import object_of

_encode = msgspec.json.Encoder().encode
STATUSES = {
    "ValidationException": 400,
    "AccessDeniedException": 403,
    "UnrecognizedClientException": 401,
    "InvalidSignatureException": 401,
    "ExpiredTokenException": 401,
    "ResourceNotFoundException": 404,
    "ThrottlingException": 429,
    "ServiceQuotaExceededException": 429,
    "ModelNotReadyException": 503,
    "ModelTimeoutException": 504,
    "ModelErrorException": 502,
    "ModelStreamErrorException": 502,
    "InternalServerException": 500,
    "ServiceUnavailableException": 503,
}
"""The status that each exception gets. AWS gives some of them a status that says less: a model that is not ready has
429, one that failed 424, and an expired token 403.
"""


class AwsRefusal(NamedTuple):
    """A refusal in OpenAI's form."""

    status: int
    body: bytes
    retry_after_s: float = 0.0


def refusal(body: bytes, status: int, headers: Mapping[bytes, bytes]) -> AwsRefusal:
    """Translate the body of a refusal. The exception's name is in a header, or in the body's `__type`."""
    fields = object_of(loose_json(body))
    named = headers.get(b"x-amzn-errortype", b"").decode("latin-1") or text_of(fields.get("__type"))
    name = named.partition(":")[0].rpartition("#")[2]
    told = STATUSES.get(name, status)
    message = _message(fields) or f"The backend refused the request with status {status}."
    kind = "rate_limit_error" if told == 429 else "invalid_request_error" if told < 500 else "upstream_error"
    return AwsRefusal(told, _encode({"error": {"message": message, "type": kind, "param": None, "code": name or None}}))


def stream_fault(name: str, payload: bytes) -> bytes:
    """Return the chunk for an exception inside a stream. Its name begins with a small letter there."""
    fields = object_of(loose_json(payload))
    kind = name[:1].upper() + name[1:]
    return fault_chunk(_message(fields) or kind, kind, STATUSES.get(kind, 502))


def _message(fields: dict[str, object]) -> str:
    own = [text_of(fields.get(name)) for name in ("message", "Message", "originalMessage")]
    return next(filter(None, own), "")
