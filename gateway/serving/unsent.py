"""Counts the bytes of an answer that its client has not received yet."""

import fcntl
import struct
import termios
from typing import Any


def unsent_bytes(transport: Any) -> int:
    """Return how many bytes wait in the transport's buffer and in the system's send queue."""
    socket = transport.get_extra_info("socket")
    try:
        (queued,) = struct.unpack("i", fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, bytes(4)))
    except (OSError, ValueError):
        queued = 0  # the socket is already closed
    return int(transport.get_write_buffer_size()) + int(queued)
