"""Requests and answers of `/v1/files` in OpenAI's JSON."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from gateway.errors import BadRequest
from gateway.wire.json_fields import whole

PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
_encode = msgspec.json.Encoder().encode
SHORTEST_S, LONGEST_S = 3600, 30 * 24 * 3600


class StoredFile(Protocol):
    """The values from which the JSON of a file is built."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def bytes(self) -> int: ...
    @property
    def purpose(self) -> str: ...
    @property
    def created(self) -> int: ...
    @property
    def expires(self) -> int: ...


def file(stored: StoredFile) -> dict[str, Any]:
    return {
        "id": stored.id,
        "object": "file",
        "bytes": stored.bytes,
        "created_at": stored.created,
        "expires_at": stored.expires or None,
        "filename": stored.name,
        "purpose": stored.purpose,
        "status": "processed",
        "status_details": None,
    }


def listed(objects: Sequence[dict[str, Any]], more: bool) -> bytes:
    """Encode a page of objects as OpenAI's list. Each object must have an `id`."""
    return _encode(
        {
            "object": "list",
            "data": objects,
            "first_id": objects[0]["id"] if objects else None,
            "last_id": objects[-1]["id"] if objects else None,
            "has_more": more,
        }
    )


def encoded(shown: dict[str, Any]) -> bytes:
    return _encode(shown)


def deleted(id: str, kind: str) -> bytes:
    return _encode({"id": id, "object": kind, "deleted": True})


def purpose_of(fields: dict[str, str]) -> str:
    """Return the purpose of a file. Raises `BadRequest` if OpenAI does not define this purpose."""
    purpose = fields.get("purpose", "")
    if purpose not in PURPOSES:
        known = ", ".join(PURPOSES)
        raise BadRequest(f"Invalid value for 'purpose': {purpose!r}. Supported: {known}.", param="purpose")
    return purpose


def expiry_of(fields: dict[str, str]) -> int:
    """Return the seconds until the file expires, or 0 if the file never expires.

    Clients send `expires_after[anchor]` and `expires_after[seconds]`.
    """
    seconds, anchor = fields.get("expires_after[seconds]"), fields.get("expires_after[anchor]")
    if seconds is None and anchor is None:
        return 0
    if anchor != "created_at" or seconds is None:
        raise BadRequest(
            "Invalid value for 'expires_after': it needs 'anchor', which is 'created_at', and 'seconds'.",
            param="expires_after",
        )
    given = whole(seconds)
    if given is None or not SHORTEST_S <= given <= LONGEST_S:
        raise BadRequest(
            f"Invalid value for 'expires_after[seconds]': from {SHORTEST_S} to {LONGEST_S}.", param="expires_after"
        )
    return given


def name_of(filename: str) -> str:
    """Return a file's name without its folders and without invisible characters."""
    name = filename.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(char for char in name if char.isprintable())[:255] or "file"
