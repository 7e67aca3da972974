"""Runs a job and records how it ended."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from gateway.errors import ForewordError
from gateway.settings.tables import Settings
from offline_jobs.engine.budget import JobBudget, budget_of
from offline_jobs.engine.cleanup import clean_parts
from offline_jobs.engine.executor import open_executor
from offline_jobs.engine.ledger import CANCELLED, DONE, FAILED, SPENT, Ledger, LedgerJob
from offline_jobs.engine.mlflow_files import log_run
from offline_jobs.engine.registry import kind_of, read_options
from offline_jobs.engine.run import JobRun
from offline_jobs.errors import BudgetSpent, Cancelled, JobFailed

log = logging.getLogger("foreword.jobs")


def jobs_folder(settings: Settings) -> Path:
    return settings.data_folder / "jobs"


def start(
    settings: Settings,
    ledger: Ledger,
    name: str,
    words: Mapping[str, Any],
    *,
    budget: JobBudget | None = None,
    **how: Any,
) -> LedgerJob:
    """Run a new job to its end. If a word is wrong, `JobFailed` is raised and no job is recorded."""
    read_options(name, kind_of(name), words)
    job = ledger.create(name, words, budget or budget_of(settings.jobs))
    return go_on(settings, ledger, job, **how)


def go_on(
    settings: Settings,
    ledger: Ledger,
    job: LedgerJob,
    *,
    executor: str = "local",
    processes: int = 1,
    parent: JobRun | None = None,
) -> LedgerJob:
    """Continue a job and record how it ended. `parent` is the run of the job of which this one is a part."""
    kind = kind_of(job.kind)
    options = read_options(job.kind, kind, job.words)
    clean_parts(ledger)
    with ledger.locked(job.id):
        if ledger.job(job.id).state == DONE:
            return ledger.job(job.id)  # by another process, while this one started
        ledger.begin(job.id)
        place = open_executor(executor, processes)
        run = JobRun(job, settings, ledger, place, parent=parent)
        try:
            report = kind.run(run, options)
            ledger.end(job.id, DONE, report=msgspec.json.encode(report))
            if settings.jobs.mlflow:
                folder = (settings.root / settings.jobs.mlflow).resolve()
                log_run(folder, job, msgspec.to_builtins(report), run.folder)
        except Cancelled as cancelled:
            ledger.end(job.id, CANCELLED, str(cancelled))
        except BudgetSpent as spent:
            ledger.end(job.id, SPENT, str(spent))
        except ForewordError as error:
            ledger.end(job.id, FAILED, str(error))
        except Exception as error:
            ledger.end(job.id, FAILED, f"{type(error).__name__}: {error}")
            log.exception("a job failed", extra={"job": job.id})
        finally:
            run.book_time()
            place.close()
    return ledger.job(job.id)


def finished(job: LedgerJob) -> LedgerJob:
    """Return the job if it is done. Otherwise raise `JobFailed` with the reason."""
    if job.state != DONE:
        raise JobFailed(f"{job.id} is {job.state}: {job.reason}")
    return job
