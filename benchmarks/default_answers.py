"""Writes the default model's answers to strangers' prompts that the default mode rewrites, plain and through the
gateway.

    python benchmarks/default_answers.py --data DATA --out FOLDER [--limit N]

The prompts are those of `real_prompts/dev.jsonl` in DATA, and our questions about the sentiment of strangers' reviews,
whose right answers are known. Both answers are greedy and have the same limit. Right answers are counted. FOLDER gets
`pairs.jsonl` for blind readers, with the answers as `a` and `b` in random order, and `key.json`, which says which
answer is the gateway's. An interrupted run continues, with the classifier that it has trained.
"""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import click
import msgspec
from harness.report import table
from msgspec import Struct
from msgspec.structs import replace
from strangers import ROOT, settings_for

from gateway.ask import Ask, ClientKey, Endpoint, Mode, Turn
from gateway.assembly.assemble import assemble
from gateway.assembly.gateway import Gateway
from gateway.errors import RequestError
from gateway.exchange import Exchange, Sampling
from gateway.wire import preview

ANSWER_TOKENS = 200
SEED = 12
REVIEWS = "amazon_polarity_user_satisfied"
LABELS = {"satisfied": "positive", "dissatisfied": "negative"}
"""The skeleton asks for one of these before a review. The review alone is asked about in our words."""
WORDINGS = (
    "Is this review positive or negative?\n\n{text}",
    "Classify the sentiment of this review as positive or negative.\n\n{text}",
    "What is the sentiment of the following review, positive or negative? Answer with one word.\n\n{text}",
)


class TwoPrompts(Struct, frozen=True):
    """A prompt as received and as the gateway sends it."""

    id: str
    template: str
    plain: tuple[Turn, ...]
    rewritten: tuple[Turn, ...]
    sampling: Sampling
    right: str = ""


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--limit", default=100, show_default=True, help="The most rewritten prompts of each source.")
def main(data: Path, out: Path, limit: int) -> None:
    """Write pairs of answers for blind readers, and count the right answers."""
    (out / "gateway").mkdir(parents=True, exist_ok=True)
    asyncio.run(_run(data, out, limit))
    _write_blind(out)
    click.echo(_right_answers(_rows(out / "answers.jsonl")))


async def _run(data: Path, out: Path, limit: int) -> None:
    gateway = assemble(settings_for(out / "gateway", [ROOT / "templates"], "proven"), only_prepare=True)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(gateway.state.aclose)
        stack.push_async_callback(gateway.aclose)
        await gateway.load_prompt()
        for backend in gateway.backends.values():
            stack.push_async_callback(backend.aclose)
            await backend.open()
        async for prompt in _of_strangers(gateway, data, limit):
            await _answer(gateway, out / "answers.jsonl", prompt)


async def _of_strangers(gateway: Gateway, data: Path, limit: int) -> AsyncIterator[TwoPrompts]:
    for source in (_reviews(data), _real_prompts(data)):
        count = 0
        Random(SEED).shuffle(source)  # so that a limit takes a random sample
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
    lines = (data / "real_prompts/dev.jsonl").read_text("utf-8").split("\n")
    return [{"id": row["id"], "text": row["text"], "right": ""} for row in map(json.loads, filter(None, lines))]


def _reviews(data: Path) -> list[dict[str, str]]:
    rows = []
    with gzip.open(data / "skeletons/dev.jsonl.gz", "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            if row["template"] == REVIEWS:
                text = " ".join(row["prompt"].partition("\nReview: ")[2].split())
                wording = WORDINGS[len(rows) % len(WORDINGS)].format(text=text)
                rows.append({"id": f"review:{len(rows)}", "text": wording, "right": LABELS[row["wanted"]]})
    return rows


async def _answer(gateway: Gateway, file: Path, prompt: TwoPrompts) -> None:
    """Append both answers to the file, unless the file has this prompt already."""
    if any(row["id"] == prompt.id for row in _rows(file)):
        return
    limit = replace(Sampling.NONE, max_tokens=ANSWER_TOKENS, temperature=0.0)
    row = {
        "id": prompt.id,
        "template": prompt.template,
        "prompt": prompt.plain[-1].text,
        "right": prompt.right,
        "plain": await _ask(gateway, prompt.id, prompt.plain, limit),
        "gateway": await _ask(gateway, prompt.id, prompt.rewritten, replace(limit, stop=prompt.sampling.stop)),
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
    """Write the pairs in random order, and the key. Equal answers are a tie and are not shown to readers."""
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


def _right_answers(rows: Sequence[Mapping[str, str]]) -> str:
    """Count the answers that contain the right label and not the other, and those that are only the label."""
    known = [row for row in rows if row["right"]]
    table_rows = []
    for side in ("plain", "gateway"):
        answers = [(row[side].strip().casefold().strip('."'), row["right"].casefold()) for row in known]
        others = {"positive": "negative", "negative": "positive"}
        right = sum(label in answer and others[label] not in answer for answer, label in answers)
        alone = sum(answer == label for answer, label in answers)
        table_rows.append([side, str(len(known)), str(right), str(alone)])
    return table(["answers", "reviews", "right", "right, and the label alone"], table_rows)


if __name__ == "__main__":
    main()
