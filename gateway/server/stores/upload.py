"""Reads an upload (`multipart/form-data`) as it comes: the file goes to the disk, the few fields into memory."""

import asyncio
from pathlib import Path
from typing import Any, BinaryIO

from litestar import Request
from msgspec import Struct
from multipart import (
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
    parse_options_header,
)

from gateway.errors import BadRequest, BodyTooLarge

FIELD_BYTES = 4096
FIELDS = 16


class Upload(Struct, frozen=True):
    """The form's fields, and what the file was called. The file itself is where it was to be written."""

    fields: dict[str, str]
    filename: str


class _Form:
    """What has come of a form so far."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file = file
        self._left = limit
        self._limit = limit
        self._name = ""
        self._value = bytearray()
        self.fields: dict[str, str] = {}
        self.filename: str | None = None

    def take(self, event: MultipartSegment | bytearray | bytes | None) -> None:
        if isinstance(event, MultipartSegment):
            self._begin(event)
        elif event is None:
            if self._name != "file":
                self.fields[self._name] = self._value.decode("utf-8", "replace")
        elif self._name == "file":
            self._left -= len(event)
            if self._left < 0:
                raise BodyTooLarge(f"The file is larger than the {self._limit // 2**20} MB that this gateway accepts.")
            self._file.write(event)
        else:
            self._value += event
            if len(self._value) > FIELD_BYTES:
                raise BadRequest(f"The field {self._name!r} is too long.", param=self._name)

    def _begin(self, segment: MultipartSegment) -> None:
        self._name = segment.name or ""
        self._value.clear()
        if self._name == "file":
            if self.filename is not None:
                raise BadRequest("One upload holds one 'file'.", param="file")
            self.filename = segment.filename or "file"


async def receive(request: Request[Any, Any, Any], draft: Path, limit: int) -> Upload:
    """Write the form's `file` to `draft`. Raises `BadRequest` or `BodyTooLarge`; the draft is then the caller's."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise BadRequest("Send the file as multipart/form-data, in the field 'file'.", param="file")
    try:
        parser = PushMultipartParser(options["boundary"], max_segment_count=FIELDS)
        with await asyncio.to_thread(draft.open, "wb") as file, parser:
            form = _Form(file, limit)
            async for piece in request.stream():
                for event in parser.parse(piece):
                    form.take(event)
    except MultipartError as error:
        raise BadRequest(f"The form cannot be read: {error}.", param="file") from None
    if form.filename is None:
        raise BadRequest("Missing required parameter: 'file'.", param="file", code="missing_required_parameter")
    return Upload(form.fields, form.filename)
