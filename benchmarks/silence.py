"""Measures whether retrieval finds passages for a collection's own questions, and none for others.

    .venv/bin/python benchmarks/silence.py --data FOLDER [--half tuning] [--keep FOLDER]

FOLDER holds `chunking_eval/`, `nq_open/`, `cmrc2018/`, `clinc150/` and `real_prompts/`. Each question passes through
the stage like a request whose `collections` are an offer. A hash puts each question into one of two halves. The weights
of `relevance.py` were learned on the first half. The second half was read after the weights were fixed. Embedding takes
most of the time; `--keep` keeps the collections for another run.
"""

import asyncio
import hashlib
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from msgspec import Struct

sys.path.insert(0, str(Path(__file__).resolve().parent))

from retrieval import Bench

from gateway.ask import Ask, Controls, Endpoint, Turn
from gateway.context.ingest.ingest import IngestItem
from gateway.context.retrieve import RetrieveStage
from gateway.context.store.collections import OPERATOR
from gateway.exchange import Exchange
from gateway.ports import Vectors
from gateway.settings.context import Context

CORPORA = ("chatlogs", "finance", "pubmed", "state_of_the_union", "wikitexts")
PASSAGES, OTHERS, PARAGRAPHS, UTTERANCES, PROMPTS = 400, 300, 100, 500, 240
PROMPT_CHARS = 4000


class Question(Struct, frozen=True):
    """A text, and the collection that it asks about, or ""."""

    text: str
    about: str
    kind: str


class Material(Struct, frozen=True):
    """The files of each collection, and all questions."""

    files: dict[str, dict[str, str]]
    questions: list[Question]


def material(data: Path) -> Material:
    files = {name: {f"{name}.md": (data / f"chunking_eval/{name}.md").read_text("utf-8")} for name in CORPORA}
    own = [
        Question(row["question"], row["corpus_id"], "own") for row in _rows(data / "chunking_eval/questions_dev.jsonl")
    ]
    rows = _rows(data / "nq_open/dev.jsonl")
    files["nq"] = {
        f"{place}.md": f"# {row['ctxs'][0]['title']}\n\n{row['ctxs'][0]['text']}\n"
        for place, row in enumerate(rows[:PASSAGES])
    }
    own += [Question(row["question"], "nq", "own") for row in rows[:PASSAGES]]
    foreign = [Question(row["question"], "", "nq") for row in rows[PASSAGES : PASSAGES + OTHERS]]
    articles = json.loads((data / "cmrc2018/trial.json").read_text("utf-8"))["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    files["cmrc"] = {f"z{place}.md": one["context"] for place, one in enumerate(paragraphs[:PARAGRAPHS])}
    own += [Question(qa["question"], "cmrc", "own") for one in paragraphs[:PARAGRAPHS] for qa in one["qas"]]
    foreign += [Question(qa["question"], "", "chinese") for one in paragraphs[PARAGRAPHS:] for qa in one["qas"][:1]]
    names = ("val.jsonl", "oos_val.jsonl", "oos_train.jsonl")
    foreign += _drawn(
        [row["text"] for name in names for row in _rows(data / "clinc150" / name)], UTTERANCES, "utterance"
    )
    prompts = [row["text"] for row in _rows(data / "real_prompts/dev.jsonl") if len(row["text"]) < PROMPT_CHARS]
    return Material(files, [*own, *foreign, *_drawn(prompts, PROMPTS, "prompt")])


def _drawn(texts: Sequence[str], count: int, kind: str) -> list[Question]:
    return [Question(text, "", kind) for text in random.Random(5).sample(list(texts), count)]


def _rows(file: Path) -> list[dict[str, str]]:
    # not by `splitlines`, because a text may contain line ends other than \\n
    return [json.loads(line) for line in file.read_text("utf-8").split("\n") if line]


def _half(text: str) -> str:
    return ("tuning", "final")[int(hashlib.sha256(text.encode()).hexdigest(), 16) % 2]


class Asked:
    """Asks the stage, and embeds each text once."""

    def __init__(self, made: Bench) -> None:
        self._made = made
        self._known: dict[str, Vectors] = {}
        self._stage = RetrieveStage(
            Context(budget_ms=600_000),
            lambda _backend, text: made.embedder.count_tokens(text),
            embed=self._embed,
            collections=made.collections,
        )

    async def _embed(self, texts: Sequence[str]) -> Vectors:
        for text in texts:
            if text not in self._known:
                self._known[text] = self._made.embedder.embed([text])[0]
        return np.stack([self._known[text] for text in texts])

    def gets_passages(self, collection: str, *said: str) -> bool:
        turns = tuple(Turn("user", text, place) for place, text in enumerate(said))
        ask = Ask(Endpoint.CHAT, "m", b"{}", turns, controls=Controls(collections=(collection,)))
        return bool(asyncio.run(self._stage(Exchange("x", ask, key=OPERATOR))).chunks)


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--only", multiple=True, help="A collection. Can be repeated; otherwise all are asked.")
@click.option("--half", default="final", show_default=True, type=click.Choice(["tuning", "final"]))
@click.option("--keep", type=click.Path(path_type=Path), help="A folder with the collections of an earlier run.")
def main(data: Path, only: tuple[str, ...], half: str, keep: Path | None) -> None:
    """Print for each collection the share of questions of each kind that get passages of it."""
    loaded = material(data)
    questions = [question for question in loaded.questions if _half(question.text) == half]
    with tempfile.TemporaryDirectory() as scratch:
        folder = keep or Path(scratch)
        folder.mkdir(exist_ok=True)
        made = Bench(folder)
        for name, files in loaded.files.items():
            _add(made, folder / name, name, files)
        asked = Asked(made)
        click.echo(f"the {half} half; the share that gets passages of the collection")
        for name in only or loaded.files:
            click.echo(", ".join(f"{kind} {share}" for kind, share in _shares(asked, name, questions).items()))
        made.read.close()
        made.collections.close()


def _add(made: Bench, folder: Path, name: str, files: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for file, text in files.items():
        (folder / file).write_text(text, "utf-8")
    collection = made.collections.find_or_create(name, OPERATOR)
    made.ingest().add(collection, [IngestItem(folder / file, file) for file in files])


def _shares(asked: Asked, name: str, questions: Sequence[Question]) -> dict[str, str]:
    """`after an own question`: an utterance about something else as the second message of a conversation."""
    own = [question.text for question in questions if question.about == name]
    other = [question for question in questions if question.about != name]
    kinds = {
        f"{name}: own questions": own,
        "other corpora": [question.text for question in other if question.about in CORPORA],
        "nq_open": [question.text for question in other if "nq" in (question.about, question.kind)],
        "Chinese": [question.text for question in other if question.about == "cmrc" or question.kind == "chinese"],
        "utterances": [question.text for question in other if question.kind == "utterance"],
        "prompts": [question.text for question in other if question.kind == "prompt"],
    }
    shares = {kind: _share([asked.gets_passages(name, text) for text in texts]) for kind, texts in kinds.items()}
    pairs = enumerate(kinds["utterances"])
    after = [asked.gets_passages(name, own[at % len(own)], text) for at, text in pairs]
    return {**shares, "utterances after an own question": _share(after)}


def _share(found: Sequence[bool]) -> str:
    return f"{sum(found) / len(found):.3f} of {len(found)}" if found else "-"


if __name__ == "__main__":
    main()
