"""Two answers of the default model to each prompt, plain and through the gateway, to be compared blind.

    python benchmarks/blind_answers.py --out FOLDER ours --template ID [--template ID ...]
    python benchmarks/blind_answers.py --out FOLDER strangers --data DATA [--limit N]

`ours` asks the prompts of `prompts/open_prompts.tsv`, rewritten by the template; the verdicts on these may fill the
gain table. `strangers` asks those of `real_prompts/dev.jsonl` that the default mode rewrites, and questions of ours
about the sentiment of strangers' reviews, whose right answers are known; they only measure. Both answers are greedy and
have the same limit. FOLDER gets `pairs.jsonl` with the answers as `a` and `b` in random order, and `key.json`, which
says which of them is the gateway's. A run that was cut off goes on where it stopped.
"""

import asyncio
import csv
import gzip
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import click
import msgspec
from msgspec import Struct
from msgspec.structs import replace
from strangers import ROOT, settings_for

from gateway.ask import Ask, ClientKey, Endpoint, Mode, Turn
from gateway.assembly.assemble import assemble
from gateway.assembly.gateway import Gateway
from gateway.cli.gains.measurement import Measurement, MeasureOptions
from gateway.errors import RequestError
from gateway.exchange import Exchange, Sampling
from gateway.prompt.measure.prepare import measurable, pairs_of_prompts
from gateway.prompt.measure.prompts import MeasuredPrompt
from gateway.wire import preview

OPEN_PROMPTS = ROOT / "benchmarks/prompts/open_prompts.tsv"
ANSWER_TOKENS = 200
SEED = 12
REVIEWS = "rotten_tomatoes_Reviewer_Expressed_Sentiment"
ASKED_AFTER = " What is the sentiment expressed by the reviewer for the movie?"
"""The skeleton puts its question behind a review, on the same line. The review alone is asked about in our words."""
WORDINGS = (
    "Is this review positive or negative?\n\n{text}",
    "Classify the sentiment of this movie review as positive or negative.\n\n{text}",
    "What is the sentiment of the following review, positive or negative? Answer with one word.\n\n{text}",
)


class TwoPrompts(Struct, frozen=True):
    """One prompt as it came and as the gateway sends it."""

    id: str
    template: str
    plain: tuple[Turn, ...]
    rewritten: tuple[Turn, ...]
    sampling: Sampling
    right: str = ""


@click.group()
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path))
@click.pass_context
def main(context: click.Context, out: Path) -> None:
    """Write pairs of answers for blind readers."""
    out.mkdir(parents=True, exist_ok=True)
    context.obj = out


@main.command()
@click.option("--template", "templates", multiple=True, required=True)
@click.pass_obj
def ours(out: Path, templates: Sequence[str]) -> None:
    """Ask our own open prompts."""
    asyncio.run(_run(out, "on", lambda gateway: _of_ours(gateway, templates), classifier=False))


@main.command()
@click.option("--data", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--limit", default=100, show_default=True, help="The most prompts of each source.")
@click.option(
    "--gains", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Rows beside the package's."
)
@click.pass_obj
def strangers(out: Path, data: Path, limit: int, gains: Path | None) -> None:
    """Ask the strangers' prompts that the default mode rewrites."""
    asyncio.run(_run(out, "proven", lambda gateway: _of_strangers(gateway, data, limit), gains, classifier=True))


async def _run(out: Path, mode: str, prompts: Any, gains: Path | None = None, *, classifier: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="foreword-blind-") as folder:
        if gains is not None:
            (Path(folder) / "data").mkdir()
            shutil.copy(gains, Path(folder) / "data/gains.json")
        gateway = assemble(settings_for(Path(folder), [ROOT / "templates"], mode), only_prepare=True)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(gateway.state.aclose)
            stack.push_async_callback(gateway.aclose)
            await gateway.load_prompt(classifier=classifier)
            for backend in gateway.backends.values():
                stack.push_async_callback(backend.aclose)
                await backend.open()
            chosen = [one async for one in prompts(gateway)]
            click.echo(f"{len(chosen)} rewritten prompts", err=True)
            await _answer(gateway, out, chosen)
    _write_blind(out)


async def _of_ours(gateway: Gateway, names: Sequence[str]) -> AsyncIterator[TwoPrompts]:
    with OPEN_PROMPTS.open(encoding="utf-8") as file:
        rows = [MeasuredPrompt(**row) for row in csv.DictReader(file, delimiter="\t")]
    measurement = Measurement(gateway, gateway.completions, MeasureOptions())
    target = gateway.routes.targets(gateway.settings.routing.default, Endpoint.CHAT)[0]
    assert gateway.loaded.library is not None
    for name in names:
        templates = list(measurable(gateway.loaded.library, name))
        for pair in await pairs_of_prompts(measurement._stage, templates, target, rows):
            digest = f"{pair.template} {pair.key[0]}"
            yield TwoPrompts(pair.id, digest, pair.raw, pair.rewritten, pair.sampling)


async def _of_strangers(gateway: Gateway, data: Path, limit: int) -> AsyncIterator[TwoPrompts]:
    for source in (_real_prompts(data), _reviews(data)):
        count = 0
        for row in source:
            body = msgspec.json.encode({"model": "", "messages": [{"role": "user", "content": row["text"]}]})
            exchange = Exchange("blind", preview.ask(body, {}), ClientKey(name="local", admin=True), dry=True)
            try:
                done = await gateway.prepare(exchange)
            except RequestError:
                continue  # longer than the model's window
            if done.changed and done.rewrite.template and count < limit:
                count += 1
                plain = (Turn("user", row["text"], 0),)
                yield TwoPrompts(row["id"], done.rewrite.template, plain, tuple(done.sent), done.sampling, row["right"])


def _real_prompts(data: Path) -> list[dict[str, str]]:
    """The prompts in random order, so that a limit takes a random sample."""
    lines = (data / "real_prompts/dev.jsonl").read_text("utf-8").split("\n")
    rows = [{"id": row["id"], "text": row["text"], "right": ""} for row in map(json.loads, filter(None, lines))]
    Random(SEED).shuffle(rows)
    return rows


def _reviews(data: Path) -> list[dict[str, str]]:
    rows = []
    with gzip.open(data / "skeletons/dev.jsonl.gz", "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            text = row["prompt"].strip().removesuffix(ASKED_AFTER.strip()).strip()
            if row["template"] == REVIEWS:
                wording = WORDINGS[len(rows) % len(WORDINGS)]
                rows.append({"id": f"review:{len(rows)}", "text": wording.format(text=text), "right": row["wanted"]})
    return rows


async def _answer(gateway: Gateway, out: Path, chosen: Sequence[TwoPrompts]) -> None:
    """Ask both prompts, and append the answers to `answers.jsonl`. A prompt that is there already is left out."""
    file = out / "answers.jsonl"
    known = {row["id"] for row in _rows(file)}
    limit = replace(Sampling.NONE, max_tokens=ANSWER_TOKENS, temperature=0.0)
    for one in chosen:
        if one.id in known:
            continue
        stop = replace(limit, stop=one.sampling.stop)
        row = {
            "id": one.id,
            "template": one.template,
            "prompt": one.plain[-1].text,
            "right": one.right,
            "plain": await _ask(gateway, one.id, one.plain, limit),
            "gateway": await _ask(gateway, one.id, one.rewritten, stop),
        }
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")


async def _ask(gateway: Gateway, id: str, turns: Sequence[Turn], sampling: Sampling) -> str:
    target = gateway.routes.targets(gateway.settings.routing.default, Endpoint.CHAT)[0]
    ask = Ask(Endpoint.CHAT, target.model, b"", tuple(turns))
    exchange = Exchange(f"blind-{id}", ask, mode=Mode.OFF, route=(target,))
    done = await gateway.completions.complete(exchange, turns, purpose="blind", model="", sampling=sampling)
    return done.answer.text


def _write_blind(out: Path) -> None:
    """Write the pairs in random order and the key. Two equal answers are a tie, and no reader sees them."""
    random = Random(SEED)
    rows = _rows(out / "answers.jsonl")
    random.shuffle(rows)
    key: dict[str, Mapping[str, str]] = {}
    with (out / "pairs.jsonl").open("w", encoding="utf-8") as file:
        for row in rows:
            same = row["plain"].strip() == row["gateway"].strip()
            side = "same" if same else random.choice("ab")
            key[row["id"]] = {"gateway": side, "template": row["template"]}
            if same:
                continue
            first, second = ("gateway", "plain") if side == "a" else ("plain", "gateway")
            pair = {"id": row["id"], "prompt": row["prompt"], "a": row[first], "b": row[second]}
            file.write(json.dumps(pair, ensure_ascii=False) + "\n")
    (out / "key.json").write_text(json.dumps(key, indent=1), "utf-8")


def _rows(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []


if __name__ == "__main__":
    main()
