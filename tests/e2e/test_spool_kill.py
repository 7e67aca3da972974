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
from gateway.wire.chat.answer import read_answer

# Records without a pause while a drain runs beside it, and names each exchange once `record` returned.
# The arguments: a name, the folder, the segments' size in MB, the drain's interval in seconds.
RECORDER = """
import asyncio, os, sys
from pathlib import Path
from gateway.ask import Ask, Endpoint, Turn
from gateway.exchange import Exchange
from gateway.ports import ExchangeOutcome
from gateway.records.database import Database
from gateway.records.drain import Drain
from gateway.records.spool import Spool
from gateway.wire.chat.answer import read_answer

name, folder = sys.argv[1], Path(sys.argv[2])
text = "A question of some length. " * 40
body = b'{"choices": [{"index": 0, "message": {"content": "Yes."}}]}'
outcome = ExchangeOutcome("finished", 200, content_type="application/json", body=body)

async def main():
    spool = Spool(folder / "spool", "full", read_answer=read_answer, segment_mb=float(sys.argv[3]))
    drain = Drain(spool, lambda: Database.open(f"sqlite:///{folder / 'records.db'}"), read_answer, float(sys.argv[4]))
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


Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts recorders, none of which outlives the test."""
    with ExitStack() as stack:

        def started(name: str, segment_mb: float = 0.1, interval_s: float = 0.01) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-c", RECORDER, name, str(tmp_path), str(segment_mb), str(interval_s)]
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            stack.callback(process.kill)
            return process

        yield started


def acknowledged(process: subprocess.Popen[bytes], count: int) -> list[str]:
    """Its next acknowledged exchanges."""
    assert process.stdout is not None
    return [process.stdout.readline().decode().rstrip("\n") for _ in range(count)]


def killed(process: subprocess.Popen[bytes]) -> list[str]:
    """Kill the process; what it had acknowledged and nobody had read yet."""
    assert process.stdout is not None
    os.kill(process.pid, signal.SIGKILL)
    lines = process.stdout.readlines()
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


@pytest.mark.parametrize("after", [1, 300, 1500])
def test_every_acknowledged_exchange_of_two_killed_workers_is_stored_once(
    tmp_path: Path, start: Start, after: int
) -> None:
    workers = [start(name) for name in ("one", "two")]
    said = [id for worker in workers for id in acknowledged(worker, after) + killed(worker)]

    replay(tmp_path)

    stored = list(stored_ids(tmp_path))
    assert set(said) <= set(stored)
    assert len(stored) == len(set(stored))
    # written and then killed before it could be acknowledged: at most one a worker
    assert len(stored) <= len(said) + len(workers)
    assert segments(tmp_path / "spool") == []


def test_a_live_workers_segments_are_left_to_it(tmp_path: Path, start: Start) -> None:
    # all goes into its first segment, so that another's reading and deleting that would lose the rest
    worker = start("live", segment_mb=16, interval_s=1000)
    said = acknowledged(worker, 50)

    replay(tmp_path)
    said += acknowledged(worker, 50) + killed(worker)
    replay(tmp_path)

    assert set(said) <= set(stored_ids(tmp_path))
