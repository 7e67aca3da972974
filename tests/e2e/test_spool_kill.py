"""A recording process is killed without warning; nothing that it had acknowledged is missing afterwards."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.records.database import Database
from gateway.records.drain import Drain
from gateway.records.segments import segments
from gateway.records.spool import Spool
from gateway.wire.answer import read_answer

# Records without a pause while a drain runs beside it, and names each exchange once `record` returned.
RECORDER = """
import asyncio, os, sys
from pathlib import Path
from gateway.exchange import Ask, Endpoint, Exchange, Turn
from gateway.ports import Outcome
from gateway.records.database import Database
from gateway.records.drain import Drain
from gateway.records.spool import Spool
from gateway.wire.answer import read_answer

name, folder = sys.argv[1], Path(sys.argv[2])
text = "A question of some length. " * 40
body = b'{"choices": [{"index": 0, "message": {"content": "Yes."}}]}'
outcome = Outcome("finished", 200, content_type="application/json", body=body)

async def main():
    spool = Spool(folder / "spool", "full", read_answer=read_answer, segment_mb=0.1)
    drain = Drain(spool, lambda: Database.open(f"sqlite:///{folder / 'records.db'}"), read_answer, 0.01)
    task = asyncio.create_task(drain.run())
    count = 0
    while not task.done():
        ask = Ask(Endpoint.CHAT, "m", b"{}", (Turn("user", text, 0),))
        spool.record(Exchange(f"{name}-{count}", ask), outcome)
        os.write(1, f"{name}-{count}\\n".encode())
        count += 1
        await asyncio.sleep(0)

asyncio.run(main())
"""


Start = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts recorders, none of which outlives the test."""
    with ExitStack() as stack:

        def started(name: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-c", RECORDER, name, str(tmp_path)]
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            stack.callback(process.kill)
            return process

        yield started


def acknowledged_until_killed(process: subprocess.Popen[bytes], after: int) -> list[str]:
    """Kill the process once it has acknowledged that many; all that it had said by then."""
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(after)]
    os.kill(process.pid, signal.SIGKILL)
    lines += process.stdout.readlines()
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    return [line.decode().rstrip("\n") for line in lines if line.endswith(b"\n")]


def replay(folder: Path) -> None:
    """What the next process does at its start."""

    async def main() -> None:
        spool = Spool(folder / "spool", "full", read_answer=read_answer)
        drain = Drain(spool, lambda: Database.open(f"sqlite:///{folder / 'records.db'}"), read_answer)
        await drain.flush()
        await drain.aclose()

    asyncio.run(main())


def stored_ids(folder: Path) -> Iterator[str]:
    connection = sqlite3.connect(folder / "records.db")
    try:
        yield from [row[0] for row in connection.execute("SELECT id FROM exchanges")]
    finally:
        connection.close()


@pytest.mark.parametrize("after", [1, 700, 2500])
def test_every_acknowledged_exchange_of_two_killed_workers_is_stored_once(
    tmp_path: Path, start: Start, after: int
) -> None:
    workers = [start(name) for name in ("one", "two")]
    acknowledged = [id for worker in workers for id in acknowledged_until_killed(worker, after)]

    replay(tmp_path)

    stored = list(stored_ids(tmp_path))
    assert set(acknowledged) <= set(stored)
    assert len(stored) == len(set(stored))
    # written and then killed before it could be acknowledged: at most one a worker
    assert len(stored) <= len(acknowledged) + len(workers)
    assert segments(tmp_path / "spool") == []


def test_a_live_workers_segments_are_left_to_it(tmp_path: Path, start: Start) -> None:
    worker = start("live")
    assert worker.stdout is not None
    for _ in range(50):
        worker.stdout.readline()

    replay(tmp_path)
    acknowledged = acknowledged_until_killed(worker, 200)
    replay(tmp_path)

    assert set(acknowledged) <= set(stored_ids(tmp_path))
