"""Reads a request's body, up to the allowed size."""

from collections.abc import Mapping
from typing import Any

from litestar.types import Receive

from gateway.errors import BadRequest
from gateway.server.packed_body import too_large

BOM = b"\xef\xbb\xbf"


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> bytes:
    """Read the request body.

    Raises `BodyTooLarge`, without reading anything if the announced length is already too large.
    """
    announced = headers.get(b"content-length")
    if announced is not None and announced.isdigit() and int(announced) > limit:
        raise too_large(limit)
    message: Any = await receive()
    if message["type"] == "http.disconnect":
        raise BadRequest("The client left before the request was complete.")
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > limit:
            raise too_large(limit)
        return _without_mark(body)
    pieces, size = [body], len(body)
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("The client left before the request was complete.")
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise too_large(limit)
        pieces.append(piece)
    return _without_mark(b"".join(pieces))


def _without_mark(body: bytes) -> bytes:
    """Remove the byte order mark that some editors write at the start of a file."""
    return body.removeprefix(BOM)
