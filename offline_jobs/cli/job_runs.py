"""Code for the commands that run a job: their options, the ledger, and the printed estimate and report."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from gateway.cli.config import load_settings
from gateway.settings.tables import Settings
from gateway.telemetry.logs import set_up
from offline_jobs.engine.budget import JobBudget, budget_of
from offline_jobs.engine.ledger import DONE, FAILED, RUNNING, Ledger, LedgerJob
from offline_jobs.engine.registry import kind_of, read_options
from offline_jobs.engine.work import go_on, jobs_folder, start

F = TypeVar("F", bound=Callable[..., Any])
LIMITS = {
    "calls": click.IntRange(1),
    "tokens": click.IntRange(1),
    "money": click.FloatRange(0),
    "minutes": click.FloatRange(0, min_open=True),
}


def where_options(command: F) -> F:
    """Add the options that choose the executor of a job's tasks and how many tasks run at a time."""
    kind = click.option("--executor", type=click.Choice(["local", "ray"]), default="local", show_default=True)
    count = click.option(
        "--processes", default=1, show_default=True, type=click.IntRange(1, 256), help="Tasks to run at a time."
    )
    return kind(count(command))


def budget_options(command: F) -> F:
    """Add the options that set the limits of a job's budget."""
    for name, kind in reversed(LIMITS.items()):
        command = click.option(f"--{name}", type=kind, help=f"Overrides [jobs] {name}.")(command)
    return command


def print_estimate(kind: str, table: dict[str, Any], config: Path, limits: dict[str, float | None]) -> None:
    with open_ledger(config) as (settings, _):
        budget = _budget(settings, limits)
        limited = msgspec.structs.replace(settings.jobs, calls=budget.calls, tokens=budget.tokens)
        settings = msgspec.structs.replace(settings, jobs=limited)
        most = kind_of(kind).estimate(settings, read_options(kind, kind_of(kind), table))
        click.echo(f"at most  {most}")
        click.echo(f"allowed  {budget_text(budget)}")


def run_job(
    kind: str,
    table: dict[str, Any],
    config: Path,
    limits: dict[str, float | None],
    *,
    continued: bool = False,
    executor: str = "local",
    processes: int = 1,
) -> None:
    """Run a job to its end and print its report. Exits with 1 if the job fails, with 3 if it is cancelled or runs out
    of budget."""
    with open_ledger(config) as (settings, ledger):
        cut_off = _cut_off(ledger, kind, table) if continued else None
        if cut_off is not None:
            click.echo(f"resuming {cut_off.id}", err=True)
            job = go_on(settings, ledger, cut_off, executor=executor, processes=processes)
        else:
            budget = _budget(settings, limits)
            job = start(settings, ledger, kind, table, budget=budget, executor=executor, processes=processes)
        print_end(ledger, job)


@contextmanager
def open_ledger(config: Path) -> Iterator[tuple[Settings, Ledger]]:
    """Load the settings, and open the ledger in the data folder that the settings name."""
    settings = load_settings(config)
    set_up("warning" if settings.server.log_level == "info" else settings.server.log_level)
    ledger = Ledger(jobs_folder(settings))
    try:
        yield settings, ledger
    finally:
        ledger.close()


def _budget(settings: Settings, limits: dict[str, float | None]) -> JobBudget:
    return with_limits(budget_of(settings.jobs), limits)


def with_limits(budget: JobBudget, limits: dict[str, float | None]) -> JobBudget:
    """Return the budget with the limits that the command line sets. A limit of None does not change the budget."""
    given = {name: value for name, value in limits.items() if value is not None}
    if "minutes" in given:
        given["seconds"] = given.pop("minutes") * 60
    return msgspec.structs.replace(budget, **given)


def budget_text(budget: JobBudget) -> str:
    money = f", {budget.money:g} of money" if budget.money else ""
    return f"{budget.calls:,} calls, {budget.tokens:,} tokens{money}, {budget.seconds:,.0f} s"


def _cut_off(ledger: Ledger, kind: str, words: dict[str, Any]) -> LedgerJob | None:
    """Return the newest job of this kind and with these arguments, if the job was killed. Otherwise, return None."""
    last = ledger.last(kind, words)
    return last if last is not None and last.state == RUNNING and not ledger.running(last.id) else None


def print_end(ledger: Ledger, job: LedgerJob) -> None:
    """Print how a job ended, and its report. Exits with 1 if the job failed, with 3 if it was stopped."""
    click.echo(f"{job.id}: {job.state} {job.reason}".rstrip(), err=True)
    click.echo(f"spent {ledger.spent(job.id)}", err=True)
    if job.report:
        text = kind_of(job.kind).text
        click.echo(text(job.report) if text else msgspec.json.format(job.report, indent=2))
    if job.state != DONE:
        raise SystemExit(1 if job.state == FAILED else 3)
