"""Reads as much of a request's body as is needed to find its model, and checks the rest while it passes."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from typing import Any

from litestar.types import Receive
from multipart import MultipartError, MultipartSegment, PushMultipartParser

from gateway.errors import BadRequest
from gateway.server.packed_body import too_large

IN_MEMORY = 2**20
"""How many bytes of a form are kept in memory until its model is found. More go to a file."""
LONGEST_FIELD = 4096
MOST_PARTS = 256
PIECE = 256 * 1024


async def pieces_of(receive: Receive, limit: int) -> AsyncIterator[bytes]:
    """Yield the body as it arrives. Raises `BodyTooLarge`, and `BadRequest` if the client leaves."""
    size, more = 0, True
    while more:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("The client left before the request was complete.")
        piece, more = message.get("body", b""), message.get("more_body", False)
        size += len(piece)
        if size > limit:
            raise too_large(limit)
        if piece:
            yield piece


def whole_again(raw: bytes) -> Receive:
    """Return a `receive` for a body that was read already."""

    async def receive() -> Any:
        return {"type": "http.request", "body": raw, "more_body": False}

    return receive


class FormFields:
    """The short fields of a form, as far as the form is parsed. `check` is called with each complete field."""

    def __init__(self, boundary: str, check: Callable[[str, str], None]) -> None:
        self.model: str | None = None
        self._parser = PushMultipartParser(boundary, max_segment_count=MOST_PARTS)
        self._check = check
        self._name = ""
        self._value: bytearray | None = None

    def feed(self, piece: bytes) -> None:
        """Parse a piece. Raises `BadRequest` for a form that cannot be read, or that names two models."""
        try:
            for event in self._parser.parse(piece):
                self._take(event)
        except MultipartError as error:
            raise BadRequest(f"The form cannot be read: {error}.") from None

    def _take(self, event: MultipartSegment | bytearray | bytes | None) -> None:
        if isinstance(event, MultipartSegment):
            self._name = event.name or ""
            self._value = None if event.filename is not None else bytearray()
        elif event is None:
            if self._value is not None:
                self._end(self._value.decode("utf-8", "replace"))
            self._value = None
        elif self._value is not None and len(self._value) <= LONGEST_FIELD:
            self._value += event

    def _end(self, value: str) -> None:
        if self._name.lower() == "model":
            if self.model is not None:
                # the backend may read the other one, which was not checked
                raise BadRequest("The form names more than one model.", param="model")
            self.model = value
        self._check(self._name, value)


class FormBody:
    """A form whose beginning is kept until its model is found. `pieces` yields the whole form, unchanged.

    `close` deletes what is kept.
    """

    def __init__(self, incoming: AsyncIterator[bytes], fields: FormFields) -> None:
        self._incoming = incoming
        self._fields = fields
        self._kept = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - closed by `close`
        self._on_disk = False
        self._size = 0
        self._complete = False

    async def model(self) -> str:
        """Read until the form names its model, and return the model's name, or "" if the form names none."""
        while self._fields.model is None:
            piece = await anext(self._incoming, b"")
            if not piece:
                self._complete = True
                return ""
            self._fields.feed(piece)
            self._size += len(piece)
            if self._size > IN_MEMORY:  # the file goes to the disk, which may be slow
                await asyncio.to_thread(self._kept.write, piece)
                self._on_disk = True
            else:
                self._kept.write(piece)
        return self._fields.model

    async def pieces(self, old: str, new: str) -> AsyncIterator[bytes]:
        """Yield the form. If `old` differs from `new`, the model's name `old` is replaced by `new`."""
        if old != new:
            yield await asyncio.to_thread(self._renamed, old.encode(), new.encode())
        else:
            self._kept.seek(0)
            while piece := await self._read():
                yield piece
        async for piece in self._incoming:
            self._fields.feed(piece)
            yield piece

    def close(self) -> None:
        self._kept.close()

    async def _read(self) -> bytes:
        return await asyncio.to_thread(self._kept.read, PIECE) if self._on_disk else self._kept.read(PIECE)

    def _renamed(self, old: bytes, new: bytes) -> bytes:
        """Return the kept beginning with another model's name. The field is the last complete one that is kept."""
        self._kept.seek(0)
        kept = self._kept.read()
        place = kept.find(b'name="model"')
        place = place if place >= 0 else kept.find(b"name=model")
        begin = kept.find(b"\r\n\r\n", place) + 4
        if place < 0 or kept[begin : begin + len(old)] != old:
            raise BadRequest("The form's field 'model' cannot be read.", param="model")
        return kept[:begin] + new + kept[begin + len(old) :]
