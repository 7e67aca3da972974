"""`foreword gains`: measures whether a template helps a model, and shows the gain table."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from gateway.ask import Endpoint
from gateway.cli.config import config_option, load_settings, report
from gateway.cli.exchanges.commands import since_s
from gateway.cli.listing import print_rows
from gateway.errors import ConfigError, ForewordError, RequestError
from gateway.settings.tables import Settings

if TYPE_CHECKING:  # imported when a command runs
    from gateway.assembly.gateway import Gateway
    from gateway.cli.gains.measurement import Measurement, MeasureOptions, MeasurePairs
    from gateway.prompt.measure.pairs import PairScorer, ScoredPair
    from gateway.prompt.policy.gains import Gain


@click.group()
def gains() -> None:
    """Measure whether a template helps a model. In mode `proven`, a template rewrites prompts only where it helps.

    \b
    See the cost first:    foreword gains measure --dry-run
    Measure:               foreword gains measure --calls 400
    Show the results:      foreword gains show
    """


@gains.command()
@click.option(
    "--model", default="", help="The model. Default: the default model for built-in prompts, every model for records."
)
@click.option("--template", default="", metavar="ID[@VERSION]", help="Only this template.")
@click.option("--intent", default="", help="Only this intent.")
@click.option(
    "--source",
    type=click.Choice(["all", "records", "prompts"]),
    default="all",
    show_default=True,
    help="Use recorded exchanges, the built-in prompts, or both.",
)
@click.option(
    "--since",
    default="",
    metavar="TIME",
    callback=since_s,
    help="Only exchanges since this time: 30m, 2h, 7d, 2026-01-31.",
)
@click.option(
    "--each",
    default=200,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="Use at most this many recorded exchanges per template and model.",
)
@click.option("--missing", is_flag=True, help="Only templates without a row in the gain table.")
@click.option(
    "--calls", default=2000, show_default=True, type=click.IntRange(2), help="Make at most this many model calls."
)
@click.option(
    "--tokens", default=0, type=click.IntRange(0), help="Use at most this many tokens, read and written. 0: no limit."
)
@click.option(
    "--judge", default="", metavar="MODEL", help="A model that compares answers if nothing else can score them."
)
@click.option("--dry-run", is_flag=True, help="Only print the planned requests and their cost.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@config_option
def measure(calls: int, tokens: int, dry_run: bool, as_json: bool, config: Path, since: float, **options: Any) -> None:
    """Send requests with and without the rewrite, and compare the answers.

    Recorded exchanges show what clients ask; the built-in prompts need no traffic. A pair of answers is scored by the
    right answer, if it is known, or else by the limits that the prompt states. Otherwise a judge compares the two
    answers twice, in both orders. The judge is first tested on 200 pairs whose order is known. Both answers are decoded
    greedily, with the same limits. If a measurement is interrupted, the next one continues and skips the pairs that
    have scores.

    \b
    foreword gains measure --dry-run
    foreword gains measure --template summarise.en --calls 100
    foreword gains measure --source records --since 7d --judge gpt-4.1-mini
    """
    from gateway.cli.gains.measurement import MeasureOptions

    settings = load_settings(config)
    try:
        asyncio.run(_measure(settings, MeasureOptions(since_s=since, **options), calls, tokens, dry_run, as_json))
    except ConfigError as error:
        report(error)
    except RequestError as error:
        raise click.ClickException(error.message) from error
    except ForewordError as error:
        raise click.ClickException(str(error)) from error


@gains.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
@config_option
def show(as_json: bool, config: Path) -> None:
    """Show the gain table, with the decision for each template and model.

    \b
    foreword gains show
    foreword gains show --json | jq '.[] | select(.high < 0)'
    """
    from gateway.prompt.policy.gains import gains_path, read_gains, shipped_gains

    path = gains_path(load_settings(config).data_folder)
    try:
        known = list((shipped_gains() | read_gains(path)).values())
    except (OSError, msgspec.MsgspecError) as error:
        raise click.ClickException(f"{path} cannot be read: {error}. Delete the file to start again.") from error
    except ForewordError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        _print_json(known)
    elif known:
        _print(known)
    else:
        click.echo("There are no measurements yet. See: foreword gains measure --help")


async def _measure(
    settings: Settings, options: MeasureOptions, calls: int, tokens: int, dry_run: bool, as_json: bool
) -> None:
    from gateway.assembly.assemble import assemble
    from gateway.cli.gains.measurement import Measurement
    from gateway.prompt.measure.pairs import PairScorer

    gateway = assemble(settings, only_prepare=True)
    if gateway.loader is None:
        raise click.ClickException("No prompt is rewritten without an embedding model. Configure one in [embedder].")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(gateway.state.aclose)
        stack.push_async_callback(gateway.aclose)
        await gateway.load_prompt(classifier=False)
        measurement = Measurement(gateway, gateway.completions, options)
        pairs = await measurement.pairs()
        if not as_json:
            _print_plan(pairs, options.judge)
        if dry_run or not (pairs.fresh or pairs.known):
            if as_json:
                _print_json(_plan(pairs) | {"gains": []})
            return
        await _open(gateway, pairs, options.judge, stack)
        scorer = PairScorer(gateway.completions, calls, options.judge, tokens)
        scored = await _with_progress(measurement, pairs, scorer, calls)
    rows = measurement.write(scored)
    _print_rest(measurement, pairs, scored)
    if as_json:
        _print_json(_plan(pairs) | {"gains": rows})
    else:
        _print(rows)


async def _open(gateway: Gateway, pairs: MeasurePairs, judge: str, stack: AsyncExitStack) -> None:
    names = {pair.target.backend for pair in pairs.fresh}
    if judge:
        names |= {target.backend for target in gateway.routes.targets(judge, Endpoint.CHAT)}
    for name in sorted(names):
        stack.push_async_callback(gateway.backends[name].aclose)
        await gateway.backends[name].open()


async def _with_progress(
    measurement: Measurement, pairs: MeasurePairs, scorer: PairScorer, calls: int
) -> list[ScoredPair]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("asking"), BarColumn(), MofNCompleteColumn(), TextColumn("calls"), TimeRemainingColumn())
    total = min(calls, pairs.cost.calls)
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("asking", total=total)
        return await measurement.scores(
            pairs, scorer, lambda: progress.update(task, completed=min(total, calls - scorer.left))
        )


def _plan(pairs: MeasurePairs) -> dict[str, Any]:
    scored = len(pairs.fresh) + len(pairs.known)
    return {
        "pairs": len(pairs.all),
        "can be scored": scored,
        "known": len(pairs.known),
        "calls": pairs.cost.calls,
        "tokens": pairs.cost.tokens,
        "money": pairs.cost.money,
    }


def _print_plan(pairs: MeasurePairs, judge: str) -> None:
    scored = len(pairs.fresh) + len(pairs.known)
    keys = {pair.key for pair in (*pairs.fresh, *(score.pair for score in pairs.known))}
    click.echo(f"{len(pairs.all)} pairs; {scored} can be scored, of {len(keys)} templates and models.")
    if scored < len(pairs.all) and not judge:
        click.echo("The others need a judge (--judge MODEL), a limit stated in the prompt, or feedback with an answer.")
    if pairs.known:
        click.echo(f"{len(pairs.known)} pairs were scored before and are not asked again.")
    click.echo(f"To ask: {pairs.cost}.")


def _print_rest(measurement: Measurement, pairs: MeasurePairs, scored: list[ScoredPair]) -> None:
    left = len(pairs.fresh) + len(pairs.known) - len(scored) - len(measurement.failed)
    if left > 0:
        click.echo(f"{left} pairs are left: run the same command again, or raise --calls or --tokens.", err=True)
    if measurement.failed:
        click.echo(f"{len(measurement.failed)} pairs failed. The last error:  {measurement.failed[-1]}", err=True)


def _print_json(value: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def _print(gains: list[Gain]) -> None:
    rows = []
    decisions = {"helps": "rewrite", "leave it": "leave it", "unknown": "unknown"}
    for gain in sorted(gains, key=lambda gain: (gain.template, gain.model)):
        figures = (f"{gain.gain:+.2f}", f"{gain.low:+.2f} to {gain.high:+.2f}", f"{gain.p:.3f}", str(gain.pairs))
        on = f"{datetime.fromtimestamp(gain.measured_s):%Y-%m-%d}" if gain.measured_s else "-"
        rows.append((decisions[gain.verdict], *figures, gain.by, on, gain.model, gain.template))
    print_rows(("so", "gain", "interval", "p", "pairs", "by", "on", "model", "template"), rows, right=("pairs",))
