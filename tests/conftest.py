"""Fixtures that all tests share: a scripted upstream, and gateways in processes of their own."""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.doubles.ports import free_port
from tests.doubles.upstream import Upstream

# no test is timed: on a busy machine, the first example of a test can take a second. make test-all runs ten times the
# random examples, unless a test sets their number itself
settings.register_profile("untimed", deadline=None)
settings.register_profile("all", deadline=None, max_examples=1000)
settings.load_profile("all" if os.environ.get("FOREWORD_TESTS") == "all" else "untimed")


class UpstreamInThread:
    """A scripted upstream on its own event loop, for tests that are plain functions."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.double = Upstream()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.port: int = self.run(self.double.start())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def left(self, request: int = -1, within_s: float = 5.0) -> bool:
        """Return whether the gateway closed the connection of a request before the answer was complete."""
        return bool(self.run(_within(self.double.received[request].left.wait, within_s)))

    def stop(self) -> None:
        self.run(self.double.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


async def _within(wait: Callable[[], Coroutine[Any, Any, Any]], seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await wait()
    except TimeoutError:
        return False
    return True


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamInThread]:
    made = UpstreamInThread()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = shutil.which("redis-server")
    assert program, "install redis-server (Debian: apt-get install redis-server), or run make test"
    folder: Path = tmp_path_factory.mktemp("redis")
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert server.stdout is not None
    for line in server.stdout:
        if b"Ready to accept connections" in line:
            break
    yield f"redis://127.0.0.1:{port}/0"
    server.terminate()
    server.wait()
    server.stdout.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server that lives as long as the session, on a socket in its own folder."""
    if shutil.which("initdb") is None or shutil.which("pg_ctl") is None:
        pytest.skip("PostgreSQL is not installed")
    # it refuses to run as root, and cannot enter the folders that pytest makes for root
    user = "nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    with tempfile.TemporaryDirectory(prefix="foreword-pg-") as folder:
        if os.getuid() == 0:
            shutil.chown(folder, user)

        def run(*command: str) -> None:
            subprocess.run(command, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)

        run("initdb", "-D", f"{folder}/db", "-A", "trust", "-U", "foreword", "-E", "UTF8", "--no-sync")
        run("pg_ctl", "-D", f"{folder}/db", "-w", "-l", f"{folder}/log", "-o", f"-h '' -k {folder}", "start")
        yield f"postgresql+psycopg://foreword@/postgres?host={folder}"
        run("pg_ctl", "-D", f"{folder}/db", "-w", "-m", "immediate", "stop")
