"""Starts processes on loopback, waits until they answer, reads their resource use, and ends them."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

HOST = "127.0.0.1"
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class NotUp(Exception):
    """A process ended, or did not answer in time. The message has the end of its log."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Process:
    """A child in a session of its own, so that ending it ends its children, too."""

    def __init__(
        self, argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self.log = log
        with log.open("wb") as out:
            self._popen = subprocess.Popen(
                list(argv),
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )
        self.pid = self._popen.pid

    def wait_port(self, port: int, timeout_s: float = 60.0) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._popen.poll() is not None:
                raise NotUp(f"ended with status {self._popen.returncode}: {self.tail()}")
            with socket.socket() as probe:
                probe.settimeout(1.0)
                if probe.connect_ex((HOST, port)) == 0:
                    return
            time.sleep(0.05)
        raise NotUp(f"did not listen on port {port} within {timeout_s:.0f} s: {self.tail()}")

    def wait_file(self, path: Path, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not path.exists():
            if self._popen.poll() is not None:
                raise NotUp(f"ended with status {self._popen.returncode}: {self.tail()}")
            if time.monotonic() > deadline:
                raise NotUp(f"was not up within {timeout_s:.0f} s: {self.tail()}")
            time.sleep(0.05)

    def tail(self) -> str:
        return self.log.read_text("utf-8", "replace")[-600:].strip()

    def cpu_s(self) -> float:
        return cpu_s(self.pid)

    def stop(self) -> None:
        if self._popen.poll() is None:
            try:
                os.killpg(self.pid, signal.SIGTERM)
                self._popen.wait(8)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass
        with suppress(ProcessLookupError):  # the rest of the session, such as workers whose parent is gone
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait(5)


def tree(pid: int) -> list[int]:
    """Return the process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        current = waiting.pop()
        found.append(current)
        waiting += children.get(current, [])
    return found


def cpu_s(pid: int) -> float:
    """Return user and system seconds of the process tree, including children that have ended."""
    ticks = 0
    for member in tree(pid):
        fields = _stat(member)
        if fields:
            ticks += sum(int(value) for value in fields[11:15])  # utime, stime, cutime, cstime
    return ticks / TICKS


def rss_bytes(pid: int) -> int:
    """Return the resident memory of one process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def heaviest(pid: int) -> int:
    """Return the process of the tree with the most memory, which is the worker, if there is one."""
    return max(tree(pid), key=rss_bytes)


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name: state, parent, ..."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text[text.rindex(")") + 2 :].split()
