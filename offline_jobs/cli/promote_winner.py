"""`foreword jobs promote`: shows a job's winner and puts it to use."""

from pathlib import Path

import click

from gateway.cli.config import config_option, load_settings
from offline_jobs.engine.ledger import Ledger
from offline_jobs.engine.work import jobs_folder
from offline_jobs.publish.winner import PERSON, diff, read_winner
from offline_jobs.publish.winner import promote as put_to_use


@click.command()
@click.argument("id")
@click.option("--to", type=click.Choice(["candidate", "canary", "active"]), default="candidate", show_default=True)
@click.option("--diff", "only_diff", is_flag=True, help="Only show the changes.")
@click.option("--branch", default="", help="Commit the winner to a new git branch with this name instead.")
@config_option
def promote(id: str, to: str, only_diff: bool, branch: str, config: Path) -> None:
    """Show the winner of job ID, or copy it to the templates and put it to use.

    \b
    foreword jobs promote optimise-20261124T030000Z-7f3c --diff
    foreword jobs promote optimise-20261124T030000Z-7f3c --to canary
    foreword jobs promote optimise-20261124T030000Z-7f3c --branch better-refunds
    """
    settings = load_settings(config)
    ledger = Ledger(jobs_folder(settings))
    try:
        job = ledger.job(id)
    finally:
        ledger.close()
    winner = read_winner(jobs_folder(settings) / job.id / "winner")
    if only_diff:
        click.echo(diff(winner))
        return
    file = put_to_use(settings, winner, to, PERSON, branch=branch)
    click.echo(f"{winner.template.ref}: {to}, {f'on branch {branch}' if branch else file}")
