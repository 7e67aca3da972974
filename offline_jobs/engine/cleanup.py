"""Removes the texts that an unfinished job has left in its folder.

A job that failed or was killed can be resumed, so its files stay for a day. After that, its finished steps are
forgotten, and a resumed job begins again.
"""

import logging
import shutil
import time
from contextlib import suppress

from offline_jobs.engine.ledger import DONE, Ledger, LedgerJob

log = logging.getLogger("foreword.jobs")

KEPT_S = 86_400.0
PARTS = "parts"
"""The folder in which jobs keep texts between their steps."""


def clean_parts(ledger: Ledger, now_s: float | None = None) -> list[str]:
    """Remove the texts of jobs that ended or were killed more than a day ago, and return the ids of these jobs."""
    now_s = time.time() if now_s is None else now_s
    cleaned = []
    for folder in sorted(ledger.folder.glob(f"*/{PARTS}")):
        job = ledger.known(folder.parent.name)
        if job is not None and job.state != DONE and now_s - _last_s(ledger, job) < KEPT_S:
            continue
        if ledger.running(folder.parent.name):
            continue
        if job is not None and job.state != DONE:
            ledger.forget_steps(job.id)
        shutil.rmtree(folder, ignore_errors=True)
        cleaned.append(folder.parent.name)
        log.info("texts of an unfinished job removed", extra={"job": folder.parent.name})
    return cleaned


def _last_s(ledger: Ledger, job: LedgerJob) -> float:
    """Return when a job last did something, in seconds since 1970. A killed job has no end."""
    times = [job.ended_s, job.created_s]
    with suppress(FileNotFoundError):  # another process, which begins a job too, may be removing them now
        times.extend(file.stat().st_mtime for file in (ledger.folder / job.id / PARTS).iterdir())
    return max(times)
