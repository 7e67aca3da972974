"""Measures the CPU time of `prepare` on the prompts of the load, which the first tier decides, by wording.

    python benchmarks/prepare.py --folder DATA

DATA keeps the trained classifier, so a second run starts in seconds. To compare two versions, run this file in turn
from each one's folder, with a DATA of its own: older versions do not rewrite every wording.
"""

import asyncio
import statistics
import time
from pathlib import Path

import click
import msgspec
from harness import texts
from harness.report import table
from strangers import CONFIG, ROOT

from gateway.ask import ClientKey
from gateway.assembly.assemble import assemble
from gateway.assembly.gateway import Gateway
from gateway.exchange import Exchange
from gateway.settings.read import load
from gateway.settings.tables import Settings
from gateway.wire import preview

EACH = 1000  # prompts of one wording


@click.command()
@click.option("--folder", required=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--rounds", default=5, show_default=True, help="The prompts of a wording are divided among the rounds.")
def main(folder: Path, rounds: int) -> None:
    """Print the share rewritten and microseconds of CPU per prompt: the median and the best round."""
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(_measure(_settings(folder), rounds))


async def _measure(settings: Settings, rounds: int) -> None:
    gateway = assemble(settings, only_prepare=True)
    made = texts.summaries(EACH * len(texts.ASKS))
    rows = []
    try:
        await gateway.load_prompt()
        await _round(gateway, made[::40])
        for ask in texts.ASKS:
            prompts = [text for text in made if text.startswith(ask)]
            parts = [await _round(gateway, prompts[start::rounds]) for start in range(rounds)]
            spent = [us for us, _ in parts]
            share = sum(changed for _, changed in parts) / len(prompts)
            rows.append([ask, f"{share:.2f}", f"{statistics.median(spent):.0f}", f"{min(spent):.0f}"])
    finally:
        await gateway.aclose()
    click.echo(table(["request", "rewritten", "µs, median", "best"], rows))


async def _round(gateway: Gateway, prompts: list[str]) -> tuple[float, int]:
    """Return microseconds of CPU per prompt, and how many prompts were changed."""
    exchanges = [_exchange(text) for text in prompts]
    changed, began = 0, time.process_time()
    for exchange in exchanges:
        changed += (await gateway.prepare(exchange)).changed
    return (time.process_time() - began) / len(prompts) * 1e6, changed


def _exchange(text: str) -> Exchange:
    body = msgspec.json.encode({"model": "", "messages": [{"role": "user", "content": text}]})
    return Exchange("prepare", preview.ask(body, {}), ClientKey(name="local", admin=True), dry=True)


def _settings(folder: Path) -> Settings:
    """Return the settings of the full path in `overhead.py`, for `prepare` alone."""
    file = folder / "config.toml"
    config = CONFIG.replace("@mode@", "on").replace("@templates@", f'"{ROOT / "templates"}"')
    config = config.replace("budget_ms", "first_tier = 0.8\ncontrols = 0.0\nbudget_ms")
    file.write_text(config + '[templates."summarise.en"]\nmode = "on"\n', "utf-8")
    return load(file)


if __name__ == "__main__":
    main()
