"""`foreword jobs work`: a process that carries out orders and schedules."""

import signal
import time
from datetime import datetime
from pathlib import Path
from threading import Event

import click

from gateway.cli.config import config_option
from gateway.cli.listing import print_rows
from gateway.settings.tables import Settings
from offline_jobs.cli.job_runs import open_ledger
from offline_jobs.engine.registry import kind_of, read_options
from offline_jobs.engine.schedules import Schedule, schedules
from offline_jobs.engine.words import read_words
from offline_jobs.engine.worker import JobWorker, next_time
from offline_jobs.errors import JobFailed

POLL_S = 0.2


@click.command("work")
@click.option("--once", is_flag=True, help="Carry out what waits, and stop. For cron.")
@click.option("--dry-run", is_flag=True, help="Print when each schedule runs next and what it costs at most, and stop.")
@config_option
def work(once: bool, dry_run: bool, config: Path) -> None:
    """Carry out the schedules of [jobs] and the orders of POST /v1/foreword/jobs, until stopped.

    Each job runs in a process of its own. A job that was cut off is resumed. Several workers may run: each order is
    carried out once.
    """
    with open_ledger(config) as (settings, ledger):
        if dry_run:
            rows = (_planned(settings, one) for one in schedules(settings.jobs.schedules))
            print_rows(("job", "next", "at most"), rows)
            return
        worker = JobWorker(settings, ledger, config.resolve())
        if once:
            worker.look(time.time())
            while not worker.is_idle:
                time.sleep(POLL_S)
                worker.look(time.time())
            return
        stop = Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: stop.set())
        click.echo("working; stop with Ctrl-C", err=True)
        worker.work(stop)


def _planned(settings: Settings, schedule: Schedule) -> tuple[str, str, str]:
    when = datetime.fromtimestamp(next_time(schedule, time.time())).strftime("%Y-%m-%d %H:%M")
    kind = kind_of(schedule.kind)
    try:
        cost = str(kind.estimate(settings, read_options(schedule.kind, kind, read_words(schedule.words))))
    except (JobFailed, OSError) as error:
        cost = f"not known yet: {error}"
    return " ".join((schedule.kind, *schedule.words)), when, cost
