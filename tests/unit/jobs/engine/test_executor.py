"""Processes of a job, and their end if the job is killed."""

import os
import subprocess
import sys
import time
from pathlib import Path

from offline_jobs.engine.executor import Local

JOB = """
import os, time
from offline_jobs.engine.executor import Local
from tests.unit.jobs.engine.test_executor import process_of

if __name__ == "__main__":
    local = Local(2)
    print(*local.map(process_of, range(4)), flush=True)
    time.sleep(600)
"""


def process_of(_: int) -> int:
    return os.getpid()


def is_alive(process: int) -> bool:
    """Whether a process runs. A process that has ended but that nobody has waited for does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_killed_job_leaves_no_processes() -> None:
    with subprocess.Popen([sys.executable, "-c", JOB], stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        workers = {int(word) for word in job.stdout.readline().split()}
        assert workers
        assert all(map(is_alive, workers))
        job.kill()
    until = time.monotonic() + 60
    while any(map(is_alive, workers)):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_results_come_in_the_order_of_the_inputs() -> None:
    local = Local(2)
    try:
        assert list(local.map(abs, [-3, 2, -1])) == [3, 2, 1]
    finally:
        local.close()
