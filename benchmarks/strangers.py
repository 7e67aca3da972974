"""Writes the decision on each prompt of strangers as JSONL, for a person to judge.

    python benchmarks/strangers.py --data FOLDER look > decisions.jsonl
    python benchmarks/strangers.py --data FOLDER half-a --templates more/templates --mode on

FOLDER holds `real_prompts/dev.jsonl`, rows of `id`, `lang` and `text`. A hash of the id puts each row into one of three
sets: 300 to look at, half of the rest to measure any number of times, and the other half to measure once, at the end.
"""

import asyncio
import hashlib
import json
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from harness import foreword

from gateway.ask import ClientKey
from gateway.assembly.assemble import assemble
from gateway.assembly.gateway import Gateway
from gateway.exchange import Exchange
from gateway.settings.read import load
from gateway.settings.tables import Settings
from gateway.wire import preview

LOOK = "look"
SETS = (LOOK, "half-a", "half-b")
LOOKED_AT = 300
ROOT = Path(__file__).resolve().parents[1]
# config.toml with a long time limit, so that a busy machine decides the same
CONFIG = (
    foreword.LOCAL
    + foreword.EMBEDDER
    + """
[prompt]
mode = "@mode@"
templates = [@templates@]
budget_ms = 30000
[records]
policy = "none"
"""
)


def sets_of(ids: Iterable[str]) -> Mapping[str, str]:
    """Return the set of each id: the first 300 by hash are to look at, the others are halved."""
    ranked = sorted(set(ids), key=_hash)
    rest = len(ranked) - LOOKED_AT
    names = [LOOK] * LOOKED_AT + ["half-a"] * (rest // 2) + ["half-b"] * (rest - rest // 2)
    return dict(zip(ranked, names, strict=False))


def read_prompts(data: Path, name: str) -> list[dict[str, str]]:
    """Return the rows of one set, in the order of the file."""
    lines = (data / "real_prompts/dev.jsonl").read_text("utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line.strip()]
    sets = sets_of(row["id"] for row in rows)
    return [row for row in rows if sets[row["id"]] == name]


async def decisions(
    rows: Sequence[Mapping[str, str]], templates: Sequence[Path], mode: str, model: str = ""
) -> AsyncIterator[dict[str, Any]]:
    """Yield the decision on each row of `id` and `text`. No model is called."""
    with tempfile.TemporaryDirectory(prefix="foreword-strangers-") as folder:
        gateway = assemble(settings_for(Path(folder), templates, mode), only_prepare=True)
        try:
            await gateway.load_prompt()
            for row in rows:
                yield {"id": row["id"], **await decide(gateway, row["text"], model)}
        finally:
            await gateway.aclose()


async def decide(gateway: Gateway, text: str, model: str = "") -> dict[str, Any]:
    """Return what the gateway would do with a message: intent, template and messages."""
    body = msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": text}]})
    exchange = Exchange("strangers", preview.ask(body, {}), ClientKey(name="local", admin=True), dry=True)
    done = await gateway.prepare(exchange)
    return {
        "intent": done.intent.name,
        "confidence": round(done.intent.confidence, 4),
        "improvable": round(done.intent.improvable, 4),
        "language": done.intent.language,
        "tier": done.intent.tier,
        "template": done.rewrite.template,
        "changed": done.changed,
        "notes": [f"{note.stage}: {note.decision}: {note.reason}" for note in done.notes],
        "messages": [{"role": turn.role, "content": turn.text} for turn in done.sent],
    }


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--templates", multiple=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--mode", default="on", show_default=True)
@click.option("--model", default="", help="The model of the requests. Default: the default model.")
@click.argument("name", type=click.Choice(SETS))
def main(data: Path, templates: tuple[Path, ...], mode: str, model: str, name: str) -> None:
    """Print one decision per line for the prompts of one set."""
    asyncio.run(_print(read_prompts(data, name), templates or (ROOT / "templates",), mode, model))


async def _print(rows: Sequence[Mapping[str, str]], templates: Sequence[Path], mode: str, model: str) -> None:
    count = 0
    async for decision in decisions(rows, templates, mode, model):
        count += decision["changed"]
        click.echo(json.dumps(decision, ensure_ascii=False))
    click.echo(f"{len(rows)} prompts, {count} changed", err=True)


def settings_for(folder: Path, templates: Sequence[Path], mode: str) -> Settings:
    """Return the settings of a gateway with its data in `folder`."""
    file = folder / "config.toml"
    listed = ", ".join(json.dumps(str(path.resolve())) for path in templates)
    file.write_text(CONFIG.replace("@mode@", mode).replace("@templates@", listed), "utf-8")
    return load(file)


def _hash(id: str) -> bytes:
    return hashlib.blake2b(id.encode()).digest()


if __name__ == "__main__":
    main()
