"""Collects the signals that the parent receives, without interrupting its work. A signal only wakes the parent's
selector."""

import signal
import socket
from contextlib import suppress

CAUGHT = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class CaughtSignals:
    """Signals that have arrived since the last `take`. When `channel` can be read, call `take`."""

    def __init__(self) -> None:
        self.channel, self._wakes = socket.socketpair()
        self._received: list[int] = []

    def catch(self) -> None:
        """Replace the process's signal handlers."""
        for end in self.sockets():
            end.setblocking(False)
        signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)
        for number in CAUGHT:
            signal.signal(number, lambda received, _: self._received.append(received))
        # only wakes the selector; the parent then looks for dead workers
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def take(self) -> list[int]:
        """Return the numbers of the signals that arrived since the last call."""
        with suppress(BlockingIOError):
            self.channel.recv(4096)
        received, self._received = self._received, []
        return received

    def sockets(self) -> list[socket.socket]:
        """Return the sockets that a child process must close."""
        return [self.channel, self._wakes]
