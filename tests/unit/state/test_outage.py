"""A shared state that is gone or hangs costs one request a wait, and the log one line."""

import asyncio
import logging
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.errors import NotReady
from gateway.state.outage import GuardedState
from gateway.state.redis import RedisSettings, RedisState
from tests.doubles.ports import free_port


@pytest.fixture
def redis() -> Iterator[tuple[int, str]]:
    """A Redis of this test's own, to be stopped: its process id and address."""
    program = shutil.which("redis-server")
    assert program, "install redis-server"
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    server = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert server.stdout is not None
    for line in server.stdout:
        if b"Ready to accept connections" in line:
            break
    yield server.pid, f"redis://127.0.0.1:{port}/0"
    server.kill()
    server.wait()
    server.stdout.close()


def state_at(url: str, *, closed: bool = False, retry_s: float = 0.1) -> GuardedState:
    return GuardedState(RedisState(RedisSettings(url, timeout_s=0.2)), timeout_s=0.2, closed=closed, retry_s=retry_s)


@pytest.fixture
async def state(redis: tuple[int, str]) -> AsyncIterator[GuardedState]:
    made = state_at(redis[1])
    yield made
    await made.aclose()


async def test_a_hung_redis_holds_up_one_request_and_logs_one_line(
    redis: tuple[int, str], state: GuardedState, caplog: pytest.LogCaptureFixture
) -> None:
    failures = []
    state.on_failure = lambda: failures.append(1)
    assert await state.hit("a", 1, 60) == 0.0
    os.kill(redis[0], signal.SIGSTOP)

    with caplog.at_level(logging.INFO, "foreword.state"):
        assert await state.hit("a", 1, 60) == 0.0
        began = time.monotonic()
        for _ in range(200):
            assert await state.hit("a", 1, 60) == 0.0
            assert await state.blocked("b") == 0.0
            await state.block("b", 1)
        a_request_s = (time.monotonic() - began) / 200

    assert a_request_s < 0.005
    assert len(failures) == 601
    assert [record.message.split(",")[0] for record in caplog.records] == ["the shared state cannot be reached"]
    os.kill(redis[0], signal.SIGCONT)
    async with asyncio.timeout(5):
        while state.gone:  # noqa: ASYNC110  # the state has nobody to tell
            await asyncio.sleep(0.02)
    assert await state.hit("a", 1, 60) > 0


async def test_requests_do_not_queue_up_behind_one_that_waits(redis: tuple[int, str], state: GuardedState) -> None:
    assert await state.hit("a", 9, 60) == 0.0
    os.kill(redis[0], signal.SIGSTOP)
    first = asyncio.create_task(state.hit("a", 9, 60))
    await asyncio.sleep(0.12)
    began = time.monotonic()

    await state.hit("a", 9, 60)

    assert (time.monotonic() - began < 0.05, first.done()) == (True, False)
    await first


async def test_limits_fail_closed_where_they_are_told_to_and_cool_downs_do_not() -> None:
    state = state_at(f"redis://127.0.0.1:{free_port()}/0", closed=True)

    for _ in range(2):
        with pytest.raises(NotReady, match="cannot check this key's limit") as refused:
            await state.hit("a", 1, 60)
    assert (refused.value.status, refused.value.retry_after_s) == (503, 0.1)
    assert await state.blocked("b") == 0.0
    await state.aclose()


async def test_a_client_that_leaves_while_the_state_is_asked_does_not_make_it_gone(
    redis: tuple[int, str], state: GuardedState
) -> None:
    os.kill(redis[0], signal.SIGSTOP)
    leaving = asyncio.create_task(state.hit("a", 1, 60))
    await asyncio.sleep(0.05)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    os.kill(redis[0], signal.SIGCONT)
    await asyncio.sleep(0.15)

    await state.hit("a", 1, 60)
    assert await state.hit("a", 1, 60) > 0
