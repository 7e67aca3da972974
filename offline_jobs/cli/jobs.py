"""`foreword jobs`: runs, shows and stops jobs. The gateway's command line finds this group through an entry point."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec

from gateway.cli.config import config_option, load_settings
from gateway.cli.listing import print_rows
from gateway.documented import field_texts
from gateway.errors import ForewordError, Problem
from gateway.settings.tables import Settings
from offline_jobs.cli import cron as cron_files
from offline_jobs.cli.datasets import datasets
from offline_jobs.cli.job_runs import (
    budget_options,
    budget_text,
    open_ledger,
    print_end,
    print_estimate,
    run_job,
    where_options,
    with_limits,
)
from offline_jobs.cli.promote_winner import promote
from offline_jobs.cli.work_command import work
from offline_jobs.engine.ledger import DONE, RUNNING, Ledger, LedgerJob
from offline_jobs.engine.registry import KINDS, kind_of
from offline_jobs.engine.schedules import schedule_problems, schedules
from offline_jobs.engine.words import read_words
from offline_jobs.engine.work import go_on
from offline_jobs.errors import JobFailed


class JobsGroup(click.Group):
    """Prints the errors of jobs in one line, without a traceback."""

    def problems(self, settings: Settings) -> Iterable[Problem]:
        """Yield the mistakes in `[jobs.schedules]`, for `foreword check`."""
        return schedule_problems(settings)

    def invoke(self, ctx: click.Context) -> Any:
        with self.reported():
            return super().invoke(ctx)

    @staticmethod
    @contextmanager
    def reported() -> Iterator[None]:
        """Convert job errors raised inside the `with` block to command-line errors without a traceback."""
        try:
            yield
        except ForewordError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=JobsGroup)
def jobs() -> None:
    """Jobs that learn from recorded exchanges.

    \b
    List the kinds of jobs:    foreword jobs kinds
    See what a run costs:      foreword jobs run optimise template=summarise.en dataset=failures --dry-run
    Run a job:                 foreword jobs run harvest since=7d
    See the result:            foreword jobs list; foreword jobs show ID
    """


jobs.add_command(datasets)
jobs.add_command(promote)
jobs.add_command(work)


@jobs.command("kinds")
@click.argument("kind", required=False)
def kinds_(kind: str | None) -> None:
    """List the kinds of jobs, or the options of one KIND with their defaults."""
    if kind is None:
        for name in KINDS:
            click.echo(f"{name:18}{kind_of(name).about}")
        return
    options = kind_of(kind).options
    texts = field_texts(options)
    click.echo(f"{kind}: {kind_of(kind).about}\n")
    for field in msgspec.structs.fields(options):
        word = f"{field.encode_name}={'' if field.required else _as_typed(field.default)}"
        text = texts.get(field.name, "")
        click.echo(f"  {word:<24} {'(required) ' if field.required else ''}{text}".rstrip())


@jobs.command()
@click.argument("kind")
@click.argument("words", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--dry-run", is_flag=True, help="Print the highest possible cost, and stop.")
@click.option("--continue", "continued", is_flag=True, help="If the last such run was interrupted, resume it instead.")
@budget_options
@where_options
@config_option
def run(
    kind: str,
    words: tuple[str, ...],
    dry_run: bool,
    continued: bool,
    executor: str,
    processes: int,
    config: Path,
    **limits: float | None,
) -> None:
    """Run a job to its end. Exits with 1 if the job fails, with 3 if it is cancelled or runs out of budget.

    \b
    foreword jobs run harvest since=7d --processes 2
    foreword jobs run optimise template=summarise.en dataset=failures --calls 300
    """
    kind_of(kind)  # a misspelt kind gets a suggestion, before its words are read
    table = read_words(words)
    if dry_run:
        print_estimate(kind, table, config, limits)
        return
    run_job(kind, table, config, limits, continued=continued, executor=executor, processes=processes)


@jobs.command()
@click.argument("id")
@budget_options
@where_options
@config_option
def resume(id: str, executor: str, processes: int, config: Path, **limits: float | None) -> None:
    """Resume a job that was killed, was cancelled, failed, or ran out of budget.

    The options can raise the budget. Finished steps and model calls are not repeated.
    """
    with open_ledger(config) as (settings, ledger):
        job = ledger.job(id)
        if job.state == DONE:
            raise JobFailed(f"{job.id} is done")
        job = ledger.allow(job.id, with_limits(job.budget, limits))
        print_end(ledger, go_on(settings, ledger, job, executor=executor, processes=processes))


@jobs.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@config_option
def list_(limit: int, as_json: bool, config: Path) -> None:
    """List jobs: running jobs first, then the newest."""
    with open_ledger(config) as (_, ledger):
        running = ledger.under_way()
        ids = {job.id for job in running}
        shown = [*running, *(job for job in ledger.jobs(limit) if job.id not in ids)][: max(limit, len(running))]
        if as_json:
            for job in shown:
                click.echo(msgspec.json.encode(_row(ledger, job)))
            return
        rows = ((job.id, _state(ledger, job), ledger.spent(job.id), job.reason[:100]) for job in shown)
        print_rows(("id", "state", "spent", "reason"), rows)


@jobs.command()
@click.argument("id")
@click.option("--json", "as_json", is_flag=True)
@config_option
def show(id: str, as_json: bool, config: Path) -> None:
    """Show the arguments, steps, spending and report of a job."""
    with open_ledger(config) as (_, ledger):
        job = ledger.job(id)
        if as_json:
            click.echo(msgspec.json.encode({**_row(ledger, job), "steps": ledger.steps(job.id)}))
            return
        click.echo(f"{job.id}: {_state(ledger, job)} {job.reason}".rstrip())
        click.echo(f"words    {dict(job.words)}")
        click.echo(f"spent    {ledger.spent(job.id)}")
        click.echo(f"allowed  {budget_text(job.budget)}")
        click.echo(f"folder   {ledger.folder / job.id}")
        for step in ledger.steps(job.id)[:40]:
            click.echo(f"  {step.took_s:8.1f} s  {step.name}")
        if job.report:
            click.echo(msgspec.json.format(job.report, indent=2))


@jobs.command()
@click.argument("id")
@config_option
def cancel(id: str, config: Path) -> None:
    """Cancel a job. The job stops before its next step or call; `resume` continues it."""
    with open_ledger(config) as (_, ledger):
        job = ledger.job(id)
        ledger.cancel(job.id)
        if not ledger.running(job.id) and job.state == RUNNING:
            ledger.end(job.id, "cancelled", "cancelled while no process was running it")


@jobs.command("cron")
@click.option("--kubernetes", is_flag=True, help="Print CronJob manifests instead of a crontab.")
@click.option("--image", default="foreword:latest", show_default=True)
@click.option("--claim", default="foreword-data", show_default=True, help="The volume claim for the data folder.")
@click.option(
    "--templates-claim",
    default="foreword-templates",
    show_default=True,
    help="The volume claim for the template folders. The gateway must mount it too.",
)
@config_option
def cron_(kubernetes: bool, image: str, claim: str, templates_claim: str, config: Path) -> None:
    """Print the schedules of [jobs] as a crontab, or as Kubernetes CronJobs.

    \b
    foreword jobs cron | crontab -
    foreword jobs cron --kubernetes --image registry.example/foreword:1 | kubectl apply -f -
    """
    settings = load_settings(config)
    planned = schedules(settings.jobs.schedules)
    if not planned:
        raise JobFailed('no job is scheduled; add a schedule, for example: [jobs] schedules = {harvest = "0 3 * * *"}')
    if not kubernetes:
        click.echo(cron_files.crontab(planned, cron_files.program(), config.resolve()))
        return
    manifests = cron_files.cronjobs(
        planned,
        image=image,
        config=config.resolve(),
        data=settings.data_folder,
        templates=[(settings.root / folder).resolve() for folder in settings.prompt.templates],
        claim=claim,
        templates_claim=templates_claim,
    )
    click.echo(manifests, nl=False)


def _as_typed(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _state(ledger: Ledger, job: LedgerJob) -> str:
    return "cut off" if job.state == RUNNING and not ledger.running(job.id) else job.state


def _row(ledger: Ledger, job: LedgerJob) -> dict[str, Any]:
    report = msgspec.json.decode(job.report) if job.report else None
    shown = {**msgspec.to_builtins(job), "report": report, "state": _state(ledger, job)}
    return {**shown, "spent": ledger.spent(job.id), "folder": str(ledger.folder / job.id)}
