"""Reads an upload (`multipart/form-data`) as it arrives. The file goes to disk; the other fields stay in memory."""

import asyncio
import logging
from io import FileIO
from pathlib import Path
from typing import Any

from litestar import Request
from msgspec import Struct
from multipart import (
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
    parse_options_header,
)

from gateway.errors import BadRequest, BodyTooLarge, NotReady

log = logging.getLogger("foreword.uploads")

FIELD_BYTES = 4096
FIELDS = 16
WRITE_BYTES = 2**20
"""How many bytes are written at once. A worker thread writes them, because a slow disk would block the event loop."""


class Upload(Struct, frozen=True):
    """The fields of the form, and the name of the uploaded file. The file's bytes are in the draft."""

    fields: dict[str, str]
    filename: str


class _UploadForm:
    """The part of a form that is parsed so far. `unwritten` holds bytes of the file that are not on disk yet."""

    def __init__(self, limit: int, field: str) -> None:
        self._field = field
        self.unwritten = bytearray()
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
            if self._name != self._field:
                self.fields[self._name] = self._value.decode("utf-8", "replace")
        elif self._name == self._field:
            self._left -= len(event)
            if self._left < 0:
                raise BodyTooLarge(f"The file is larger than the {self._limit // 2**20} MB that this gateway accepts.")
            self.unwritten += event
        else:
            self._value += event
            if len(self._value) > FIELD_BYTES:
                raise BadRequest(f"The field {self._name!r} is too long.", param=self._name)

    def _begin(self, segment: MultipartSegment) -> None:
        self._name = segment.name or ""
        self._value.clear()
        if self._name == self._field:
            if self.filename is not None:
                raise BadRequest(f"One upload can hold only one '{self._field}'.", param=self._field)
            self.filename = segment.filename or "file"


async def receive(request: Request[Any, Any, Any], draft: Path, limit: int, field: str = "file") -> Upload:
    """Write the file in the form's field `field` to `draft`, and return the other fields. The caller deletes the draft.

    Raises `BadRequest` or `BodyTooLarge`, and `NotReady` if the disk cannot take the file.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise BadRequest(f"Send the file as multipart/form-data, in the field '{field}'.", param=field)
    try:
        parser = PushMultipartParser(options["boundary"], max_segment_count=FIELDS)
        form = _UploadForm(limit, field)
        with await asyncio.to_thread(draft.open, "wb", buffering=0) as file, parser:
            async for piece in request.stream():
                for event in parser.parse(piece):
                    form.take(event)
                if len(form.unwritten) >= WRITE_BYTES:
                    await _write(file, form)
            await _write(file, form)
    except MultipartError as error:
        raise BadRequest(f"The form cannot be read: {error}.", param=field) from None
    except OSError as error:
        log.error("an upload cannot be stored: %s", error)
        raise NotReady("Files cannot be stored at the moment. Try again.", retry_after_s=2.0) from error
    if form.filename is None:
        raise BadRequest(f"Missing required parameter: '{field}'.", param=field, code="missing_required_parameter")
    return Upload(form.fields, form.filename)


async def _write(file: FileIO, form: _UploadForm) -> None:
    unwritten, form.unwritten = form.unwritten, bytearray()
    await asyncio.to_thread(_write_all, file, unwritten)


def _write_all(file: FileIO, content: bytes | bytearray) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
