"""Counts the bytes of a connection that the system holds: sent and not received yet, or received and not read yet."""

import fcntl
import struct
import termios
from typing import Any


def unsent_bytes(transport: Any) -> int:
    """Return how many bytes wait in the transport's buffer and in the system's send queue."""
    return int(transport.get_write_buffer_size()) + _queued(transport, termios.TIOCOUTQ)


def unread_bytes(transport: Any) -> int:
    """Return how many bytes wait in the system's receive queue."""
    return _queued(transport, termios.FIONREAD)


def _queued(transport: Any, request: int) -> int:
    socket = transport.get_extra_info("socket")
    try:
        (queued,) = struct.unpack("i", fcntl.ioctl(socket.fileno(), request, bytes(4)))
    except (OSError, ValueError):
        return 0  # the socket is already closed
    return int(queued)
