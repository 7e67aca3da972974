"""Requests and answers of `/v1/uploads` in OpenAI's JSON. Unknown fields are refused."""

from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Meta, Struct

from gateway.errors import BadRequest
from gateway.wire.json_fields import decoded
from gateway.wire.stores.files import LONGEST_S, SHORTEST_S, StoredFile, file, purpose_of

_encode = msgspec.json.Encoder().encode


class StoredUpload(StoredFile, Protocol):
    """The values from which the JSON of an upload is built."""

    @property
    def status(self) -> str: ...


class StoredPart(Protocol):
    """The values from which the JSON of a part is built."""

    @property
    def id(self) -> str: ...
    @property
    def upload(self) -> str: ...
    @property
    def created(self) -> int: ...


class UploadExpiry(Struct, forbid_unknown_fields=True):
    anchor: Literal["created_at"]
    seconds: Annotated[int, Meta(ge=SHORTEST_S, le=LONGEST_S)]


class NewUpload(Struct, forbid_unknown_fields=True):
    bytes: Annotated[int, Meta(ge=1, le=2**53)]
    filename: Annotated[str, Meta(min_length=1, max_length=1024)]
    mime_type: Annotated[str, Meta(max_length=256)]
    """This field is accepted but not stored. The file's first bytes and its name tell its kind."""
    purpose: str
    expires_after: UploadExpiry | None = None


class UploadCompletion(Struct, forbid_unknown_fields=True):
    part_ids: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(min_length=1, max_length=1000)]
    md5: Annotated[str, Meta(pattern="^[0-9a-fA-F]{32}$")] | None = None


_new = msgspec.json.Decoder(NewUpload)
_completion = msgspec.json.Decoder(UploadCompletion)


def new_upload(raw: bytes, max_file_mb: int) -> NewUpload:
    given = decoded(_new, raw)
    purpose_of({"purpose": given.purpose})
    if given.bytes > max_file_mb * 2**20:
        raise BadRequest(f"The file is larger than the {max_file_mb} MB that this gateway accepts.", param="bytes")
    return given


def completion(raw: bytes) -> UploadCompletion:
    return decoded(_completion, raw)


def upload(stored: StoredUpload, completed: StoredFile | None = None) -> bytes:
    """Encode an upload. `completed` is the file of a completed upload."""
    shown: dict[str, Any] = {
        "id": stored.id,
        "object": "upload",
        "bytes": stored.bytes,
        "created_at": stored.created,
        "expires_at": stored.expires,
        "filename": stored.name,
        "purpose": stored.purpose,
        "status": stored.status,
        "file": file(completed) if completed else None,
    }
    return _encode(shown)


def part(stored: StoredPart) -> bytes:
    return _encode({"id": stored.id, "object": "upload.part", "created_at": stored.created, "upload_id": stored.upload})
