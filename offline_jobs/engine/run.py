"""A run of a job: its steps, budget and folder."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from gateway.settings.tables import Settings
from offline_jobs.engine.budget import Spent, in_time
from offline_jobs.engine.executor import Executor
from offline_jobs.engine.ledger import Ledger, LedgerJob, key_of
from offline_jobs.errors import BudgetSpent, Cancelled

log = logging.getLogger("foreword.jobs")
T = TypeVar("T")
LOOK_EVERY_S = 1.0


class JobRun:
    """One run of a job. A resumed job has several runs, which share the job's folder."""

    def __init__(
        self,
        job: LedgerJob,
        settings: Settings,
        ledger: Ledger,
        executor: Executor,
        clock: Callable[[], float] = time.monotonic,
        parent: "JobRun | None" = None,
    ) -> None:
        """`parent` is the run of the job of which this one is a part. What stops that one stops this one."""
        self.job = job
        self.settings = settings
        self.ledger = ledger
        self.executor = executor
        self.folder: Path = ledger.folder / job.id
        self.folder.mkdir(parents=True, exist_ok=True)
        self._clock = clock
        self._began = clock()
        self._booked_s = 0.0
        self._booking = threading.Lock()
        self._look_at = 0.0
        self._parent = parent
        self._over: Cancelled | BudgetSpent | None = None

    def step(self, name: str, inputs: Any, do: Callable[[], T], type: Any) -> T:
        """Run a step: call `do` and store its result. If the ledger already has the step, return the stored result.

        A step is identified by its name and inputs. The result is decoded as `type`. `do` may write files, but must
        write the same files every time.
        """
        known: T | None = self.result(name, inputs, type)
        if known is not None:
            return known
        self.check()
        began = self._clock()
        result = do()
        encoded = msgspec.json.encode(result)
        self.ledger.done(self.job.id, key_of(name, inputs), name, encoded, self._clock() - began)
        log.info("step done", extra={"job": self.job.id, "step": name})
        return result

    def result(self, name: str, inputs: Any, type: Any) -> Any:
        """Return the stored result of a step, decoded as `type`, or None if the step is not done."""
        encoded = self.ledger.result(self.job.id, key_of(name, inputs))
        return None if encoded is None else msgspec.json.decode(encoded, type=type)

    def known(self, name: str, inputs: Any) -> bool:
        """Return whether the ledger has the result of this step."""
        return self.ledger.result(self.job.id, key_of(name, inputs)) is not None

    def check(self) -> None:
        """Raise `Cancelled` if the job was cancelled, or `BudgetSpent` if its time is used up.

        After the first error, every call raises the same error. The ledger is read at most once a second.
        """
        if self._over is not None:
            raise self._over
        now = self._clock()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_S
        self.book_time()
        try:
            if self._parent is not None:
                self._parent.check()
            if self.ledger.cancelled(self.job.id):
                raise Cancelled(f"{self.job.id} was cancelled")
            in_time(self.job.budget, self.spent)
        except (Cancelled, BudgetSpent) as over:
            self._over = over
            raise

    def book_time(self) -> None:
        """Store the time that this run has taken so far. If the job is killed, about a second is lost."""
        with self._booking:
            so_far = self._clock() - self._began
            self.ledger.worked(self.job.id, so_far - self._booked_s)
            self._booked_s = so_far

    @property
    def spent(self) -> Spent:
        return self.ledger.spent(self.job.id)
