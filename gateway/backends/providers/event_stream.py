"""Decodes AWS's binary event streams with botocore, which checks their checksums."""

import struct
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from gateway.wire.converse.as_completion import StreamMessage


def decoder() -> Callable[[bytes], Iterator[StreamMessage]]:
    """Return a function that takes the next piece of a stream and returns the messages that are complete now.

    The function raises `ValueError` for bytes that are not an event stream, or whose checksum is wrong.
    """
    # imported here, because most gateways have no such backend
    library: Any = import_module("botocore.eventstream")
    buffer = library.EventStreamBuffer()

    def decode(piece: bytes) -> Iterator[StreamMessage]:
        buffer.add_data(piece)
        try:
            for message in buffer:
                yield _read(message)
        except (library.ParserError, struct.error, KeyError, UnicodeDecodeError) as error:
            # malformed headers raise the errors of Python's own functions
            raise ValueError(f"{type(error).__name__}: {error}") from error

    return decode


def _read(message: Any) -> StreamMessage:
    headers = message.headers
    kind = str(headers.get(":message-type", ""))
    if kind == "error":
        return StreamMessage("", str(headers.get(":error-code") or "InternalServerException"), message.payload)
    exception = str(headers.get(":exception-type", "")) if kind == "exception" else ""
    return StreamMessage(str(headers.get(":event-type", "")), exception, message.payload)
