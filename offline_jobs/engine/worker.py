"""The worker: carries out orders and schedules, each job in a process of its own.

A schedule becomes an order whose id has its time, and an order is taken in one statement of the database, so that two
workers never run the same. A job whose process was killed is resumed, also one of a worker that was killed.
"""

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

from croniter import croniter  # type: ignore[import-untyped]

from gateway.errors import ForewordError
from gateway.settings.read import load
from gateway.settings.tables import Settings
from gateway.state.job_orders import DONE as ORDER_DONE
from gateway.state.job_orders import FAILED as ORDER_FAILED
from gateway.state.job_orders import REFUSED, TAKEN, WAITING, JobOrder, JobOrders
from offline_jobs.engine.budget import budget_of
from offline_jobs.engine.ledger import DONE, RUNNING, Ledger, key_of
from offline_jobs.engine.registry import kind_of, read_options
from offline_jobs.engine.schedules import Schedule, one_by_one, schedules
from offline_jobs.engine.words import read_words
from offline_jobs.errors import JobFailed

log = logging.getLogger("foreword.jobs")

LOOK_EVERY_S = 5.0
AT_ONCE = 1
"""The number of jobs that run at the same time. The job `watch` runs besides: it takes back what does harm."""
URGENT = "watch"
MOST_RESTARTS = 3
LOST_S = 60.0
"""An order that another worker has taken so long ago is looked at again. If it has no job, or its job has no process,
that worker has died. Before, the process of the job may still be starting."""
Start = Callable[[str], "subprocess.Popen[bytes]"]


class JobWorker:
    """Looks for orders and schedules that are due. One process has one worker."""

    def __init__(self, settings: Settings, ledger: Ledger, config: Path, start: Start | None = None) -> None:
        self._settings = settings
        self._ledger = ledger
        self._config = config
        self._start = start or self._started
        self._orders = JobOrders(settings.data_folder)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._restarts: dict[str, int] = {}
        self._looked_s = time.time()
        self._stamp = _stamp(config)
        self._schedules = usable(settings.jobs.schedules)

    def work(self, stop: Event) -> None:
        """Carry out orders until `stop` is set. Running jobs are ended then; the next worker resumes them."""
        try:
            while not stop.is_set():
                try:
                    self.look(time.time())
                except Exception:  # such as a locked database: the next look does what this one did not
                    log.exception("the orders could not be looked at, and are looked at again")
                stop.wait(LOOK_EVERY_S)
        finally:
            for process in self._running.values():
                process.terminate()
            for process in self._running.values():
                process.wait()

    def look(self, now_s: float) -> None:
        """Add the orders of schedules that are due, settle jobs that ended, and start what waits."""
        self._reload()
        for schedule in self._schedules:
            slot = last_time(schedule, now_s)
            if slot > self._looked_s:
                name = f"schedule-{schedule.kind}-{key_of(schedule.when, schedule.words)[:8]}-{slot:.0f}"
                self._orders.add(schedule.kind, read_words(schedule.words), "schedule", name)
        self._looked_s = now_s
        for order in self._orders.in_state(TAKEN):
            self._settle(order, now_s)
        for order in sorted(self._orders.in_state(WAITING), key=lambda one: one.kind != URGENT):
            self._begin(order)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self._orders.in_state(WAITING) and not self._orders.in_state(TAKEN)

    def _begin(self, order: JobOrder) -> None:
        busy = [one for one in self._orders.in_state(TAKEN) if one.kind != URGENT]
        if (order.kind != URGENT and len(busy) >= AT_ONCE) or not self._orders.take(order.id):
            return
        try:
            read_options(order.kind, kind_of(order.kind), order.words)
        except JobFailed as error:
            self._orders.end(order.id, REFUSED, str(error))
            return
        job = self._ledger.create(order.kind, order.words, budget_of(self._settings.jobs))
        self._orders.link(order.id, job.id)
        self._running[job.id] = self._start(job.id)
        log.info("job started", extra={"job": job.id, "order": order.id})

    def _settle(self, order: JobOrder, now_s: float) -> None:
        """Record the end of a job, or resume a job whose process has died."""
        if not order.job:
            if now_s - order.taken_s > LOST_S:
                self._orders.end(order.id, WAITING)
            return
        process = self._running.get(order.job)
        if process is not None and process.poll() is None:
            return
        is_own = self._running.pop(order.job, None) is not None
        job = self._ledger.known(order.job)
        if job is None:
            self._orders.end(order.id, ORDER_FAILED, "its job is not in the ledger")
        elif job.state != RUNNING:
            state = ORDER_DONE if job.state == DONE else ORDER_FAILED
            self._orders.end(order.id, state, f"{job.state} {job.reason}".strip())
        elif not is_own and now_s - order.taken_s < LOST_S:
            return
        elif not self._ledger.running(job.id) and self._orders.retake(order):
            self._resume(order)

    def _resume(self, order: JobOrder) -> None:
        self._restarts[order.job] = self._restarts.get(order.job, 0) + 1
        if self._restarts[order.job] > MOST_RESTARTS:
            self._ledger.end(order.job, "failed", f"its process died {MOST_RESTARTS + 1} times")
            return
        log.warning("a job was cut off and is resumed", extra={"job": order.job})
        self._running[order.job] = self._start(order.job)

    def _started(self, job: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "gateway.cli.main", "jobs", "resume", job, "--config", str(self._config)]
        folder = self._ledger.folder / job
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "output.log").open("ab") as output:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def _reload(self) -> None:
        """Read a changed configuration. While it has mistakes, the last good one stays in use."""
        stamp = _stamp(self._config)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._settings = load(self._config)
        except ForewordError as error:
            log.error("the configuration cannot be used, the last one stays", extra={"reason": str(error)})
        else:
            self._schedules = usable(self._settings.jobs.schedules)


def usable(table: Mapping[str, str | Sequence[str]]) -> list[Schedule]:
    """Return the schedules that can run. One with a mistake is told, and stops no other."""
    able = []
    for one in one_by_one(table):
        try:
            able += schedules(one)
        except JobFailed as error:
            log.error("a schedule cannot be used", extra={"reason": str(error)})
    return able


def last_time(schedule: Schedule, now_s: float) -> float:
    """Return when a schedule was due last, in seconds since 1970. The fields are in local time, as cron reads them."""
    local = datetime.fromtimestamp(now_s, UTC).astimezone()
    return float(croniter(schedule.when, local).get_prev(datetime).timestamp())


def next_time(schedule: Schedule, now_s: float) -> float:
    """Return when a schedule is due next."""
    local = datetime.fromtimestamp(now_s, UTC).astimezone()
    return float(croniter(schedule.when, local).get_next(datetime).timestamp())


def _stamp(config: Path) -> int:
    return config.stat().st_mtime_ns if config.exists() else 0
