"""Measures which shipped templates help the default model, and writes the shipped gain table.

    python benchmarks/default_gains.py [--data FOLDER] [--template ID ...] [--calls N] [--dropped N] [--write]

Every template is measured on the shipped prompts of its intent and language, as `foreword gains measure` does. With
`--write`, rows that help go into `gateway/prompt/policy/shipped_gains.json`; the others are only printed. Intervals are
corrected for all measured templates, also for those that `--dropped` counts: texts that an earlier run measured, and
this one does not. With the same `--data`, an interrupted run continues.
"""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import click
import msgspec
from harness.report import table
from msgspec.structs import replace
from rich.progress import Progress

from gateway.assembly.assemble import assemble
from gateway.cli.gains.measurement import Measurement, MeasureOptions
from gateway.prompt.measure.pairs import PairScorer, ScoredPair, gains_of
from gateway.prompt.policy.gains import SCHEMA, SHIPPED, Gain, corrected, key_of
from gateway.settings.read import load
from gateway.settings.tables import Settings

ROOT = Path(__file__).parents[1]


@click.command()
@click.option(
    "--data", type=click.Path(file_okay=False, path_type=Path), help="A folder that keeps the scores for a later run."
)
@click.option("--template", "templates", multiple=True, help="Only this template. Repeatable.")
@click.option(
    "--calls", default=4000, show_default=True, type=click.IntRange(2), help="Make at most this many model calls."
)
@click.option("--dropped", default=0, show_default=True, help="How many other texts were measured before.")
@click.option("--write", is_flag=True, help="Write the rows that help into the package.")
def main(data: Path | None, templates: tuple[str, ...], calls: int, dropped: int, write: bool) -> None:
    """Measure the shipped templates with the default model."""
    with tempfile.TemporaryDirectory(prefix="foreword-gains-") as folder:
        settings = load(ROOT / "config.toml")
        into = replace(settings.data, folder=str((data or Path(folder)).resolve()))
        scored = asyncio.run(_measured(replace(settings, data=into), templates or ("",), calls))
    rows = corrected({key_of(row): row for row in gains_of(scored, time.time())}, dropped)
    proven = [row for row in rows.values() if row.verdict == "helps"]
    click.echo(_table(list(rows.values())))
    click.echo(f"{len(proven)} of {len(rows)} templates help.")
    if write:
        content = msgspec.json.encode({"gains": sorted(proven, key=lambda row: row.template), "schema": SCHEMA})
        SHIPPED.write_bytes(msgspec.json.format(content, indent=1) + b"\n")


async def _measured(settings: Settings, templates: Sequence[str], calls: int) -> list[ScoredPair]:
    gateway = assemble(settings, only_prepare=True)
    scored: list[ScoredPair] = []
    async with AsyncExitStack() as stack:
        stack.push_async_callback(gateway.state.aclose)
        stack.push_async_callback(gateway.aclose)
        await gateway.load_prompt(classifier=False)
        for backend in gateway.backends.values():
            stack.push_async_callback(backend.aclose)
            await backend.open()
        scorer = PairScorer(gateway.completions, calls)
        with Progress() as progress:
            for name in templates:
                measurement = Measurement(gateway, gateway.completions, MeasureOptions(template=name, source="prompts"))
                pairs = await measurement.pairs()
                task = progress.add_task(name or "all templates", total=len(pairs.fresh))
                scored += await measurement.scores(pairs, scorer, lambda task=task: progress.advance(task))
                for failure in measurement.failed[-1:]:
                    click.echo(f"{name}: {len(measurement.failed)} failed, the last with: {failure}", err=True)
    return scored


def _table(rows: Sequence[Gain]) -> str:
    head = ("template", "pairs", "gain", "interval", "p", "by", "verdict")
    return table(
        head,
        [
            (
                row.template,
                str(row.pairs),
                f"{row.gain:+.2f}",
                f"{row.low:+.2f} to {row.high:+.2f}",
                f"{row.p:.3f}",
                row.by,
                row.verdict,
            )
            for row in sorted(rows, key=lambda row: -row.gain)
        ],
    )


if __name__ == "__main__":
    main()
