"""Measures the quality and the cost of retrieval: chunking, questions, Chinese, 100,000 chunks, adding.

    .venv/bin/python benchmarks/retrieval.py --data FOLDER [--only chunking nq chinese size ingest]

FOLDER holds `chunking_eval/`, `nq_open/` and `cmrc2018/`. Documents and queries take the same path as in `foreword
collections add` and in a request: readers, chunks, embedder, packing. Embedding takes most of the time.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from gateway.context.embedding.sentence import SentenceEmbedder, SentenceSettings
from gateway.context.ingest.ingest import Ingest, IngestItem
from gateway.context.ingest.tune import Tuner
from gateway.context.pack import SourceBudget
from gateway.context.reading.chunk import Cut
from gateway.context.reading.parse_process import ParseProcess
from gateway.context.retrieve import MOST_CHUNKS, RetrievalLimits, RetrieveStage
from gateway.context.store.catalog import Catalog, Collection
from gateway.context.store.collections import OPERATOR, Collections, Wish
from gateway.context.store.distinct import distinct
from gateway.context.store.exact import ExactStore
from gateway.exchange import Chunk
from gateway.ports import Vectors
from gateway.resources import locate
from gateway.settings.context import Context

BUDGET = 1000
WEIGHTS = (0.0, 0.5, 1.0)
ROW = "| {:<34} | {:>8} | {:>8} | {:>8} |"
WIDER = ROW + " {:>8} |"


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Remembering(SentenceEmbedder):
    """Embeds each text once, although the same files go into several collections."""

    def __init__(self, name: str, folder: Path, settings: SentenceSettings) -> None:
        super().__init__(name, folder, settings)
        self._known: dict[str, Vectors] = {}

    def embed(self, texts: Sequence[str]) -> Vectors:
        known = self._known
        new = [text for text in dict.fromkeys(texts) if text not in known]
        known.update(zip(new, super().embed(new), strict=True))
        return np.stack([known[text] for text in texts]) if texts else super().embed(texts)


class Bench:
    """The collections of an empty gateway, in a temporary folder."""

    def __init__(self, folder: Path, embedder: type[SentenceEmbedder] = SentenceEmbedder) -> None:
        settings = SentenceSettings()
        self.embedder = embedder("minilm", locate(settings.model, Path.cwd()), settings)
        self.collections = Collections(Catalog(folder / "catalog.sqlite3"), ExactStore(folder / "vectors"))
        self.read = ParseProcess()
        self.folder = folder

    def ingest(self, cut: Cut | None = None) -> Ingest:
        tuner = Tuner(self.collections, self.embedder)
        return Ingest(self.collections, self.embedder, self.read, self.folder / "turns", cut or Cut(), tuner)

    def add(self, name: str, files: Sequence[Path], cut: Cut | None = None) -> Collection:
        collection = self.collections.find_or_create(name, OPERATOR)
        reports = self.ingest(cut).add(collection, [IngestItem(file, file.name) for file in files])
        assert all(report.state == "added" for report in reports), reports
        found = self.collections.catalog.collection(collection.id)
        assert found is not None
        return found

    def vectors(self, queries: Sequence[str]) -> Vectors:
        return np.concatenate([self.embedder.embed(queries[at : at + 64]) for at in range(0, len(queries), 64)])


@contextmanager
def bench(embedder: type[SentenceEmbedder] = SentenceEmbedder) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as folder:
        made = Bench(Path(folder), embedder)
        try:
            yield made
        finally:
            made.read.close()
            made.collections.close()


def covered(references: Sequence[Mapping[str, Any]], chunks: Sequence[Chunk]) -> float:
    """Return the share of the references' characters that the chunks contain."""
    wanted = {place for one in references for place in range(one["start_index"], one["end_index"])}
    held = {place for chunk in chunks for place in range(chunk.start, chunk.end)}
    return len(wanted & held) / len(wanted)


def filled(found: Sequence[Chunk], budget: int) -> list[Chunk]:
    """Return the first chunks that fit into the budget."""
    kept = []
    for chunk in found:
        if chunk.tokens <= budget:
            kept.append(chunk)
            budget -= chunk.tokens
    return kept


def chunking(data: Path) -> None:
    questions = [json.loads(line) for line in (data / "questions_dev.jsonl").read_text("utf-8").splitlines()]
    corpora = sorted({question["corpus_id"] for question in questions})
    tell(f"\nToken recall within {BUDGET} tokens, {len(questions)} questions, {len(corpora)} corpora")
    with bench(Remembering) as made:
        for corpus in corpora:
            made.add(corpus, [data / f"{corpus}.md"])
        together = made.add("together", [data / f"{corpus}.md" for corpus in corpora])
        vectors = made.vectors([question["question"] for question in questions])
        tell(WIDER.format("collection", "words", "0.5", "vectors", "request"))
        every: dict[Any, list[float]] = {column: [] for column in (*WEIGHTS, "request")}
        for corpus in corpora:
            collection = made.collections.find(corpus, OPERATOR)
            assert collection is not None
            asked = [
                (one, vector) for one, vector in zip(questions, vectors, strict=True) if one["corpus_id"] == corpus
            ]
            told = all_recalls(made, collection, asked)
            for column, recalls in told.items():
                every[column] += recalls
            _row(corpus, told)
        _row("all, each in its own collection", every)
        asked = list(zip(questions, vectors, strict=True))
        told = all_recalls(made, together, asked)
        _row("all in one", told)


def all_recalls(made: Bench, collection: Collection, asked: Sequence[tuple[Any, Vectors]]) -> dict[Any, list[float]]:
    """Return recalls with whole passages at each weight, and with the parts of passages that a request gets."""
    found: dict[Any, list[float]] = {column: [] for column in (*WEIGHTS, "request")}
    for weight in WEIGHTS:
        found[weight] = recalls_of(made, collection, asked, weight)
    for question, vector in asked:
        found["request"].append(_recall(question, requested(made, collection, question["question"], vector)))
    return found


def recalls_of(
    made: Bench, collection: Collection, asked: Sequence[tuple[Any, Vectors]], weight: float | None
) -> list[float]:
    """Return recalls with whole passages at one weight. None means the collection's own weight."""
    recalls = []
    for question, vector in asked:
        wish = Wish(question["question"], vector, MOST_CHUNKS, weight=weight)
        hits = distinct([hit.chunk for hit in made.collections.look_up(collection, wish)])
        recalls.append(_recall(question, filled(hits, BUDGET)))
    return recalls


def requested(made: Bench, collection: Collection, query: str, vector: Vectors) -> Sequence[Chunk]:
    """What a request has in its prompt with the settings that ship, the embedder's tokens counted."""
    wish = Wish(query, vector, MOST_CHUNKS)
    chunks = distinct([hit.chunk for hit in made.collections.look_up(collection, wish)])
    stage = RetrieveStage(Context(), lambda _backend, text: made.embedder.count_tokens(text))
    most = stage.settings.top_k
    wanted = RetrievalLimits((query,), (collection.id,), most, SourceBudget(BUDGET, 10 * BUDGET))
    return stage.packed(made.collections, chunks[:most], wanted)


def _recall(question: Any, found: Sequence[Chunk]) -> float:
    mine = [chunk for chunk in found if chunk.source == f"{question['corpus_id']}.md"]
    return covered(json.loads(question["references"]), mine)


def _row(name: str, told: Mapping[Any, Sequence[float]]) -> None:
    row = ROW if len(told) == len(WEIGHTS) else WIDER
    tell(row.format(name, *(f"{statistics.mean(found):.3f}" for found in told.values())))


def nq(data: Path) -> None:
    rows = [json.loads(line) for line in (data / "dev.jsonl").read_text("utf-8").splitlines()]
    passages = [f"# {row['ctxs'][0]['title']}\n\n{row['ctxs'][0]['text']}\n" for row in rows]
    _passages("nq_open", passages, [(row["question"], place) for place, row in enumerate(rows)])


def chinese(data: Path) -> None:
    articles = json.loads((data / "trial.json").read_text("utf-8"))["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    asked = [(qa["question"], place) for place, paragraph in enumerate(paragraphs) for qa in paragraph["qas"]]
    _passages("cmrc2018", [paragraph["context"] for paragraph in paragraphs], asked)


def _passages(name: str, passages: Sequence[str], asked: Sequence[tuple[str, int]]) -> None:
    """Measure passages that are one file each. A chunk is right if it belongs to the answering passage."""
    with bench() as made, tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{place}.md" for place in range(len(passages))]
        for file, passage in zip(files, passages, strict=True):
            file.write_text(passage, "utf-8")
        collection = made.add(name, files)
        tell(f"\n{name}: {len(passages)} passages, {len(asked)} questions")
        vectors = made.vectors([query for query, _ in asked])
        tell(ROW.format("recall", "words", "0.5", "vectors"))
        ranks = {weight: _ranks(made, collection, asked, vectors, weight) for weight in WEIGHTS}
        for k in (1, 5, 10):
            _row(f"at {k}", {weight: [rank < k for rank in found] for weight, found in ranks.items()})


def _ranks(
    made: Bench, collection: Collection, asked: Sequence[tuple[str, int]], vectors: Vectors, weight: float | None
) -> list[int]:
    """Return the rank of the right passage among the distinct passages found."""
    ranks = []
    for (query, right), vector in zip(asked, vectors, strict=True):
        hits = made.collections.look_up(collection, Wish(query, vector, 30, weight=weight))
        sources = list(dict.fromkeys(hit.chunk.source for hit in hits))
        ranks.append(sources.index(f"{right}.md") if f"{right}.md" in sources else 999)
    return ranks


def size(data: Path, count: int = 100_000) -> None:
    """Measure at a large size: random vectors, and texts with the word frequencies of English."""
    text = np.array((data / "wikitexts.md").read_text("utf-8").split())
    rng = np.random.default_rng(1)
    with bench() as made:
        collections = made.collections
        id = collections.catalog.create("", "large")
        documents, store = collections.documents(id), collections.vectors
        document = documents.stage("large", "")
        began = time.perf_counter()
        for first in range(0, count, 1000):
            texts = [" ".join(rng.choice(text, 120)) for _ in range(1000)]
            keys = documents.put(document, [Chunk(str(first + at), id, "large", one) for at, one in enumerate(texts)])
            drawn = rng.normal(size=(1000, 384)).astype(np.float32)
            store.add(id, document, keys, drawn / np.linalg.norm(drawn, axis=1, keepdims=True))
        documents.go_live(document)
        documents.count_words()  # as at the end of an ingest
        tell(f"\n{count:,} chunks of 384 dimensions; written in {time.perf_counter() - began:.0f} s")
        collection = collections.catalog.collection(id)
        assert collection is not None
        told = {
            "vectors, all compared": lambda query, vector: store.search(id, vector, 60),
            "words": lambda query, vector: documents.by_words(query, 60, None),
            "both, fused, with texts": lambda query, vector: collections.look_up(collection, Wish(query, vector, 6)),
        }
        tell(WIDER.format("ms a search", "p50", "p90", "best", "CPU"))
        for name, search in told.items():
            # other queries each time, or a search would find data that the search before has read
            queries = [" ".join(rng.choice(text, 8)) for _ in range(60)]
            vectors = rng.normal(size=(60, 384)).astype(np.float32)
            walls, cpu = [], time.process_time()
            for query, vector in zip(queries, vectors, strict=True):
                began = time.perf_counter()
                search(query, vector)
                walls.append((time.perf_counter() - began) * 1000)
            cpu = (time.process_time() - cpu) * 1000 / len(walls)
            p50, p90 = statistics.median(walls), sorted(walls)[int(0.9 * len(walls))]
            tell(WIDER.format(name, *(f"{value:.1f}" for value in (p50, p90, min(walls), cpu))))


class Timed(SentenceEmbedder):
    """Adds up the CPU time of embedding."""

    spent = 0.0

    def embed(self, texts: Sequence[str]) -> Vectors:
        began = time.process_time()
        vectors = super().embed(texts)
        self.spent += time.process_time() - began
        return vectors


def ingest(data: Path) -> None:
    """Measure what adding costs besides embedding. Both CPU times come from the same run, because machines vary."""
    file = data / "wikitexts.md"
    with bench(Timed) as made:
        made.add("warm", [data / "chatlogs.md"])
        with_tuner = made.ingest()
        assert with_tuner.tuner is not None and isinstance(made.embedder, Timed)
        plain = replace(with_tuner, tuner=None)
        overheads, learnings = [], []
        for number in range(3):
            collection = made.collections.find_or_create(f"round {number}", OPERATOR)
            made.embedder.spent = 0.0
            began = time.process_time()
            (report,) = plain.add(collection, [IngestItem(file, file.name)])
            adding, bare = time.process_time() - began, made.embedder.spent
            began = time.process_time()
            with_tuner.tuner.learn(collection)
            learning = time.process_time() - began
            overheads.append((adding + learning) / bare - 1)
            learnings.append(learning / bare)
            tell(
                f"round {number}: {report.chunks} chunks, adding {adding:.1f} s CPU, of which embedding {bare:.1f} s, "
                f"and learning {learning:.1f} s"
            )
        tell(f"overhead of adding, learning included: {statistics.median(overheads):+.1%} (median of 3)")
        tell(
            f"of which learning {statistics.median(learnings):+.1%}; it is done once, and again at half as much growth"
        )


PARTS = {
    "chunking": (chunking, "chunking_eval"),
    "nq": (nq, "nq_open"),
    "chinese": (chinese, "cmrc2018"),
    "size": (size, "chunking_eval"),
    "ingest": (ingest, "chunking_eval"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    given = parser.parse_args()
    for name in given.only:
        part, folder = PARTS[name]
        part(given.data / folder)


if __name__ == "__main__":
    main()
