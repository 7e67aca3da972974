"""A worker process as the parent sees it: the process, its channel, and the time of its last message."""

import os
import signal
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic

from gateway.serving.channel import (
    AskReload,
    Beat,
    Closed,
    Failed,
    FromWorker,
    Lines,
    MetricsPage,
    Opened,
    Ready,
    ToWorker,
    line,
    read_report,
)

READ_BYTES = 1 << 16


class Child:
    """One worker process. Workers are numbered from 1. The replacement of a worker gets the same `number`."""

    def __init__(self, number: int, generation: int) -> None:
        self.number = number
        self.generation = generation
        self.pid = 0
        self.opened = False
        self.closed = False
        """Whether the worker accepts no more connections."""
        self.draining = False
        self.kill_at = float("inf")
        self.failure = ""
        """The worker's own message about why it could not start, or ""."""
        self.ready_status = 503
        self.ready_body = b'{"status":"starting"}'
        self.beat = Beat()
        self.heard_at = monotonic()
        self._channel: socket.socket | None = None
        self._lines = Lines()

    def fork(self, work: Callable[[socket.socket], int], inherited: Iterable[socket.socket]) -> None:
        """Fork the worker process. The new process closes the `inherited` sockets, which belong to the parent."""
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            for sock in inherited:
                sock.close()
            _become_worker(lambda: work(theirs))
        theirs.close()
        ours.setblocking(False)
        self.pid, self._channel = pid, ours

    @property
    def channel(self) -> socket.socket:
        assert self._channel is not None
        return self._channel

    def send(self, order: ToWorker) -> None:
        # a stalled worker does not read its messages, and the parent must not wait for it
        with suppress(OSError):
            self.channel.send(line(order))

    def hear(self) -> tuple[list[FromWorker], bool]:
        """Return the worker's new messages, and whether the worker is alive."""
        try:
            data = self.channel.recv(READ_BYTES)
        except BlockingIOError:
            return [], True
        except OSError:
            data = b""
        reports = [read_report(message) for message in self._lines.feed(data)]
        for report in reports:
            self._note(report)
        return reports, bool(data)

    def _note(self, report: FromWorker) -> None:
        self.heard_at = monotonic()
        if isinstance(report, Opened):
            self.opened = True
        elif isinstance(report, Failed):
            self.failure = report.reason
        elif isinstance(report, Ready):
            self.ready_status, self.ready_body = report.status, bytes(report.body)
        elif isinstance(report, Beat):
            self.beat = report
        elif isinstance(report, Closed):
            self.closed = True
        else:
            assert isinstance(report, MetricsPage | AskReload)

    def silent_s(self) -> float:
        """Return the seconds since the worker's last message. Return 0.0 before the application has started."""
        return monotonic() - self.heard_at if self.opened else 0.0

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> None:
        """Wait until the process has ended."""
        with suppress(ChildProcessError):  # its status was read before
            os.waitpid(self.pid, 0)

    def close(self) -> None:
        self.channel.close()


def _become_worker(work: Callable[[], int]) -> None:
    """Turn the forked process into a worker: reset signal handlers, call `work`, and exit.

    The clean-up that the parent registered does not run.
    """
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        # Ctrl-C signals the whole process group, but only the parent may react
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        status = work()
    finally:
        os._exit(status)
