"""`foreword gains`: measures whether rewriting helps, for each intent and model, by replaying recorded exchanges."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import click
import msgspec

from gateway.ask import Endpoint
from gateway.cli.config import config_option, load_settings, report
from gateway.cli.exchanges.commands import opened, since_s
from gateway.cli.listing import print_rows
from gateway.errors import ConfigError, RequestError
from gateway.settings.tables import Settings

if TYPE_CHECKING:  # loaded when a command runs
    from gateway.cli.gains.replay import ReplayFilter
    from gateway.prompt.measure.pairs import AnswerPair, ScoredPair
    from gateway.prompt.policy.gains import Gain


@click.group()
def gains() -> None:
    """Measure whether rewriting helps, for each intent and model. If it does not help, it is turned off.

    \b
    Collect exchanges:     [prompt] mode = "shadow", or canary = 0.5, in the configuration
    Measure:               foreword gains measure --judge gpt-4.1-mini --calls 400
    Show:                  foreword gains show
    """


@gains.command()
@click.option("--intent", default="", help="Only this intent.")
@click.option("--model", default="", help="Only exchanges for this model of a backend.")
@click.option(
    "--since", default="", metavar="TIME", callback=since_s, help="Only exchanges since then: 30m, 2h, 7d, 2026-01-31."
)
@click.option(
    "--each",
    default=200,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="The most pairs for each intent and model.",
)
@click.option("--calls", default=400, show_default=True, type=click.IntRange(2), help="The most model calls.")
@click.option("--judge", default="", metavar="MODEL", help="A model that compares answers without feedback and checks.")
@click.option("--dry-run", is_flag=True, help="Only print the number of exchanges.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@config_option
def measure(
    intent: str, model: str, since: float, each: int, calls: int, judge: str, dry_run: bool, as_json: bool, config: Path
) -> None:
    """Replay recorded requests, raw and rewritten, and compare the answers.

    Each pair is judged by the right answer from feedback, else by the limits that the prompt itself states, else by
    the judge, which sees both answers twice, in either order. Both answers are greedy and have the same limits.

    \b
    foreword gains measure --dry-run
    foreword gains measure --intent summarise --calls 100 --judge gpt-4.1-mini
    """
    from gateway.cli.gains.replay import ReplayFilter
    from gateway.prompt.measure.pairs import gains_of
    from gateway.prompt.policy.gains import gains_path, key_of, write_gains

    settings = load_settings(config)
    cases = _cases(settings, ReplayFilter(intent, model, since_s=since, each=each))
    judged = [case for case in cases if case.scored_by(judge)]
    if not as_json:
        _print_counts(cases, judged, judge)
    if dry_run or not judged:
        if as_json:
            _print_json({"exchanges": len(cases), "judged": len(judged), "gains": []})
        return
    try:
        scored = asyncio.run(_measured(settings, judged, calls, judge))
    except ConfigError as error:
        report(error)
    except RequestError as error:
        raise click.ClickException(error.message) from error
    rows = gains_of(scored, time.time())
    table = write_gains(gains_path(settings.data_folder), rows)
    measured = [table[key_of(row)] for row in rows]
    if as_json:
        _print_json({"exchanges": len(cases), "judged": len(judged), "gains": measured})
    else:
        _print(measured)


@gains.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@config_option
def show(as_json: bool, config: Path) -> None:
    """Show the gain table, with the decision for each intent and model.

    \b
    foreword gains show
    foreword gains show --json | jq '.[] | select(.high < 0)'
    """
    from gateway.prompt.policy.gains import gains_path, read_gains

    path = gains_path(load_settings(config).data_folder)
    try:
        known = list(read_gains(path).values())
    except (OSError, msgspec.MsgspecError) as error:
        raise click.ClickException(f"{path} cannot be read: {error}. Delete it to start again.") from error
    if as_json:
        _print_json(known)
    elif known:
        _print(known)
    else:
        click.echo("There are no measurements yet. See: foreword gains measure --help")


def _print_json(value: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def _cases(settings: Settings, which: ReplayFilter) -> list[AnswerPair]:
    from gateway.cli.gains.replay import SEED, choose, pairs_of
    from gateway.cli.templates.compare import library_of

    random = Random(SEED)
    with opened(settings) as database:
        return list(pairs_of(database, choose(database, which, random), library_of(settings), random))


def _print_counts(cases: list[AnswerPair], judged: list[AnswerPair], judge: str) -> None:
    groups = {case.key for case in judged}
    click.echo(f"{len(cases)} exchanges to replay; {len(judged)} can be judged, of {len(groups)} templates and models.")
    if len(judged) < len(cases) and not judge:
        click.echo("The rest need a judge (--judge MODEL), a limit in their own words, or feedback with an answer.")


async def _measured(settings: Settings, cases: list[AnswerPair], calls: int, judge: str) -> list[ScoredPair]:
    from rich.console import Console
    from rich.progress import Progress

    from gateway.assembly.assemble import assemble
    from gateway.prompt.measure.pairs import PairScorer, scores_of

    gateway = assemble(settings, only_prepare=True)
    if gateway.loader is None:
        raise click.ClickException("Without an [embedder] no prompt is rewritten, so there is nothing to measure.")
    failed: list[str] = []
    async with AsyncExitStack() as stack:
        stack.push_async_callback(gateway.state.aclose)
        known = [case for case in cases if case.target.backend in gateway.backends]
        names = {case.target.backend for case in known}
        if judge:
            names |= {target.backend for target in gateway.routes.targets(judge, Endpoint.CHAT)}
        for name in sorted(names):
            stack.push_async_callback(gateway.backends[name].aclose)
            await gateway.backends[name].open()
        replay = PairScorer(gateway.completions, calls, judge)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("asking", total=min(len(known), calls // 2))
            scored = await scores_of(known, replay, lambda _: progress.advance(task), failed)
    if len(known) < len(cases):
        click.echo(f"{len(cases) - len(known)} exchanges were for backends that are not configured any more.", err=True)
    if failed:
        click.echo(f"{len(failed)} pairs failed, the last with: {failed[-1]}", err=True)
    return list(scored)


def _print(gains: list[Gain]) -> None:
    rows = []
    decisions = {"helps": "rewrite", "leave it": "leave it", "unknown": "unknown"}
    for one in sorted(gains, key=lambda one: (one.template, one.model)):
        figures = (f"{one.gain:+.2f}", f"{one.low:+.2f} to {one.high:+.2f}", f"{one.p:.3f}", str(one.pairs))
        on = f"{datetime.fromtimestamp(one.measured_s):%Y-%m-%d}" if one.measured_s else "-"
        rows.append((decisions[one.verdict], *figures, one.by, on, one.model, one.template))
    print_rows(("so", "gain", "interval", "p", "pairs", "by", "on", "model", "template"), rows, right=("pairs",))
