"""Keeps the process's signal handlers while a C library loads and installs its own handlers.

llama.cpp's server installs handlers for SIGINT and SIGTERM, so the gateway would no longer get these signals. Python's
module `signal` works only on the main thread, but the C function `sigaction` works on any thread.
"""

import ctypes
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

KEPT = (signal.SIGINT, signal.SIGTERM)
_ROOM = 256  # more than any platform's `struct sigaction`


@contextmanager
def kept_handlers() -> Iterator[None]:
    """Restore the handlers of SIGINT and SIGTERM after the block."""
    if sys.platform == "win32":
        yield
        return
    library = ctypes.CDLL(None, use_errno=True)
    before = {number: ctypes.create_string_buffer(_ROOM) for number in KEPT}
    for number, action in before.items():
        library.sigaction(int(number), None, action)
    try:
        yield
    finally:
        for number, action in before.items():
            library.sigaction(int(number), action, None)
