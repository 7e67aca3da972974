"""`foreword prompts move`: compares the present model of a prompt with another one. The job `move-prompt` does it."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from pathlib import Path

import click

from gateway.cli.config import config_option

GROUP = "foreword.commands"
"""The entry points of further commands. The gateway itself imports no job."""


@click.command("move")
@click.argument("name")
@click.option("--to", "model", required=True, help="The model to move to.")
@click.option("--present", default="", help="The present model. Default: the one that most recorded requests name.")
@click.option("--rows", type=click.IntRange(1), help="The largest number of recorded requests to answer. Default: 200.")
@click.option("--since", default="", help="The start of the window: an age such as 7d, or a date. Default: 30d.")
@click.option("--adapt", is_flag=True, help="Search for a version that suits the new model, and compare with that.")
@click.option("--switch", is_flag=True, help="Send a growing share of this prompt's conversations to the new model.")
@click.option("--share", type=click.FloatRange(0, 1, True, True), help="The first share. Default: 0.05.")
@click.option("--calls", type=click.IntRange(1), help="Overrides [jobs] calls.")
@click.option("--money", type=click.FloatRange(0), help="Overrides [jobs] money.")
@click.option("--dry-run", is_flag=True, help="Print the calls and the highest possible cost, and stop.")
@config_option
def move(
    name: str,
    model: str,
    present: str,
    rows: int | None,
    since: str,
    share: float | None,
    calls: int | None,
    money: float | None,
    config: Path,
    *,
    adapt: bool,
    switch: bool,
    dry_run: bool,
) -> None:
    """Answer recorded requests of the prompt NAME with the present model and with another one, side by side.

    Right answers, the answer contract, tokens, cost and latency are compared. Nothing changes for the application,
    unless --switch orders it: then the new model gets a share of this prompt's new conversations, unless it is worse
    with certainty. The job `watch` lets the share grow, or takes it back. An interrupted run goes on with
    `foreword jobs resume ID`.

    \b
    What it costs at most:  foreword prompts move ticket-triage --to gpt-4.1-mini --dry-run
    Compare:                foreword prompts move ticket-triage --to gpt-4.1-mini --rows 100
    Adapt it and switch:    foreword prompts move ticket-triage --to gpt-4.1-mini --adapt --switch
    """
    point = next(iter(entry_points(group=GROUP, name="jobs")), None)
    if point is None:
        raise click.ClickException("the offline jobs are not installed. Run: pip install -e '.[jobs]'")
    words = {"prompt": name, "to": model, "present": present, "rows": rows, "since": since, "share": share}
    words |= {"adapt": adapt, "switch": switch}
    limits = {"--calls": calls, "--money": money}
    args = ["run", "move-prompt", *(f"{word}={json.dumps(value)}" for word, value in words.items() if value)]
    for option, limit in limits.items():
        args += [option, str(limit)] if limit is not None else []
    args += ["--config", str(config)] + (["--dry-run"] if dry_run else [])
    group: click.Group = point.load()
    group.main(args, prog_name="foreword jobs", standalone_mode=False)
