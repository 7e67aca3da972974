"""Embeds real texts with MiniLM, for benchmarks of large collections.

    python benchmarks/real_vectors.py --data DATA FOLDER [--sentences 3]

Writes `texts.npy` (the vectors of sentences, then of two and of three sentences that follow each other) and
`questions.npy` (the vectors of questions, none of which is among the texts). A killed run continues. The texts are
public data; `DATA` is the folder with nq_open, wikitext2, chunking_eval, SQuALITY and a novel.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

sys.path.insert(0, str(Path(__file__).parents[1]))

from gateway.context.embedding.sentence import DEFAULT_MODEL, SentenceEmbedder
from gateway.resources import locate

if TYPE_CHECKING:
    from gateway.ports import Vectors

BATCH = 1_000
END = re.compile(r"(?<=[.!?])\s+|\n+")
LETTERS = 25
"""The least number of characters of a sentence."""


def documents(data: Path) -> Iterator[str]:
    for line in (data / "nq_open" / "dev.jsonl").read_text("utf-8").splitlines():
        yield from (context["text"] for context in json.loads(line)["ctxs"])
    yield (data / "wikitext2" / "valid.txt").read_text("utf-8")
    for path in sorted((data / "chunking_eval").glob("*.md")):
        yield path.read_text("utf-8")
    with gzip.open(data / "squality_dev.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            yield str(json.loads(line)["document"])
    yield (data / "long_texts" / "frankenstein_en.txt").read_text("utf-8")


def questions(data: Path) -> list[str]:
    sets = (data / "nq_open" / "dev.jsonl", data / "chunking_eval" / "questions_dev.jsonl")
    return [json.loads(line)["question"] for path in sets for line in path.read_text("utf-8").splitlines()]


def texts(data: Path, most: int) -> list[str]:
    """Return all distinct runs of one sentence, then those of two, up to those of `most`."""
    sentences = [
        [part.strip() for part in END.split(document) if len(part.strip()) >= LETTERS] for document in documents(data)
    ]
    runs = (
        " ".join(document[place : place + size])
        for size in range(1, most + 1)
        for document in sentences
        for place in range(len(document) - size + 1)
    )
    return list(dict.fromkeys(runs))


def embed(embedder: SentenceEmbedder, some: list[str], folder: Path, name: str) -> None:
    """Write the vectors of the texts to one file, batch by batch."""
    import numpy as np

    parts = folder / name
    parts.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(some), BATCH):
        part = parts / f"{first:08d}.npy"
        if not part.exists():
            draft = part.with_suffix(".tmp.npy")
            np.save(draft, embedder.embed(some[first : first + BATCH]))
            draft.rename(part)
            click.echo(f"{name}: {first + BATCH:,} of {len(some):,}")


def read(folder: Path, name: str) -> Vectors:
    import numpy as np

    return np.concatenate([np.load(part) for part in sorted((folder / name).glob("????????.npy"))])


@click.command(help=__doc__)
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--sentences", default=3, show_default=True, help="The longest run of sentences that is embedded.")
@click.argument("folder", type=click.Path(path_type=Path))
def main(data: Path, sentences: int, folder: Path) -> None:
    embedder = SentenceEmbedder("minilm", locate(DEFAULT_MODEL, Path()))
    embed(embedder, questions(data), folder, "questions")
    embed(embedder, texts(data, sentences), folder, "texts")


if __name__ == "__main__":
    main()
