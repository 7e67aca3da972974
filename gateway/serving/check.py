"""Checks a new configuration in a separate process, so that the parent loads no modules and does not wait."""

import os
import signal
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress

from gateway.errors import ConfigError


class ConfigCheck:
    """A running check. `done` becomes True when the process has reported its result."""

    def __init__(self, check: Callable[[], None], inherited: Iterable[socket.socket]) -> None:
        """`check` runs in the new process and raises `ConfigError`. The new process closes the `inherited` sockets."""
        self.channel, theirs = socket.socketpair()
        self._report = b""
        self.done = False
        self._pid = os.fork()
        if self._pid == 0:
            self.channel.close()
            for sock in inherited:
                sock.close()
            _report_result(check, theirs)
        theirs.close()
        self.channel.setblocking(False)

    def read(self) -> None:
        with suppress(BlockingIOError):
            data = self.channel.recv(1 << 16)
            self._report += data
            self.done = not data

    def mistakes(self) -> str:
        """Return the mistakes in the configuration, or "" if there are none. Call this only after the check is done."""
        report = self._report.decode("utf-8", "replace")
        return "" if report == "fine" else report or "the check ended without a result"

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)
        self.channel.close()


def _report_result(check: Callable[[], None], channel: socket.socket) -> None:
    try:
        signal.set_wakeup_fd(-1)
        check()
        channel.sendall(b"fine")
    except ConfigError as error:
        channel.sendall(str(error).encode())
    except Exception as error:
        channel.sendall(f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(0)
