"""Measures one large collection of vectors of real texts: adding, searching, recall, filters, removing, a restart.

    python benchmarks/real_vectors.py --data DATA FOLDER
    python benchmarks/large.py FOLDER --store exact --vectors 500000
    python benchmarks/large.py FOLDER --store chroma --vectors 200000

If there are fewer real vectors, the rest are mixtures: a real vector, one of those near it, and any other. They lie
closer to each other than texts do, so the nearest ones are harder to tell apart. The questions are real, and none is
among the texts. The truth is a comparison of all vectors, without any store.

`hnswlib` and `usearch` are measured as libraries without a store around them, if they are installed.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.real_vectors import read
from gateway.context.store.chroma import ChromaStore
from gateway.context.store.exact import ExactStore

if TYPE_CHECKING:
    from gateway.ports import Vectors, VectorStore

BATCH = 5_000
DOCUMENT = 1_000
"""The number of vectors of a document."""
NEAREST = 30
PARTS = (0.6, 0.3, 0.3)
"""The weights of a mixture: of the real vector, of one near it, and of any other."""
DEPTHS = (10, 240)
"""A request looks at 240 results of each search."""


class Library:
    """An index of a library behind the port, without deletion, filters and files."""

    def __init__(self, name: str, most: int) -> None:
        self.name = name
        if name == "hnswlib":
            import hnswlib

            self._index: Any = hnswlib.Index("ip", 384)
            self._index.init_index(max_elements=most, M=16, ef_construction=100)
            self._index.set_num_threads(1)
            self._index.set_ef(300)
        else:
            from usearch.index import Index

            self._index = Index(ndim=384, metric="ip", dtype="f16", expansion_search=300)

    def add(self, collection: str, document: int, keys: Sequence[int], vectors: Vectors) -> None:
        if self.name == "hnswlib":
            self._index.add_items(vectors, np.array(keys), num_threads=1)
        else:
            self._index.add(np.array(keys), vectors, threads=1)

    def search(
        self, collection: str, vector: Vectors, limit: int, documents: Sequence[int] | None = None
    ) -> Sequence[tuple[int, float]]:
        if self.name == "hnswlib":
            keys, distances = self._index.knn_query(vector, k=limit, num_threads=1)
            return list(zip(keys[0].tolist(), (1 - distances[0]).tolist(), strict=True))
        matches = self._index.search(vector, limit, threads=1)
        return list(zip(matches.keys.tolist(), (1 - matches.distances).tolist(), strict=True))


def grown(real: Vectors, size: int) -> Vectors:
    """Return the real vectors, shuffled, and mixtures of them up to `size`."""
    generator = np.random.default_rng(7)
    real = real[generator.permutation(len(real))][:size]
    parts = [real]
    missing = size - len(real)
    for first in range(0, missing, BATCH):
        count = min(BATCH, missing - first)
        chosen, other = generator.integers(0, len(real), (2, count))
        near = _near(real, chosen, generator)
        mixed = PARTS[0] * real[chosen] + PARTS[1] * real[near] + PARTS[2] * real[other]
        parts.append(mixed / np.linalg.norm(mixed, axis=1, keepdims=True))
    return np.concatenate(parts).astype(np.float32)


def _near(real: Vectors, chosen: Any, generator: np.random.Generator) -> Any:
    """Return for each chosen vector one of those near it, out of a sample of 2,000."""
    sample = generator.integers(0, len(real), 2_000)
    best = np.argpartition(-(real[chosen] @ real[sample].T), 5, axis=1)[:, :5]
    return sample[best[np.arange(len(chosen)), generator.integers(0, 5, len(chosen))]]


def measure(store: Any, vectors: Vectors, queries: Vectors, again: Callable[[], VectorStore] | None) -> None:
    before = resident_mb()
    added = [
        took(partial(store.add, "large", first // DOCUMENT + part, keys, vectors[keys.start : keys.stop]))
        for first in range(0, len(vectors), BATCH)
        for part, keys in enumerate(range(at, min(at + DOCUMENT, len(vectors))) for at in _starts(first, len(vectors)))
    ]
    wall, cpu = (sum(column) / 1000 for column in zip(*added, strict=True))
    click.echo(
        f"added {len(vectors):,}: {len(vectors) / wall:,.0f} a second by the clock, {len(vectors) / cpu:,.0f} CPU"
    )
    click.echo(f"memory of the process: +{resident_mb() - before:,.0f} MB (mapped files included)")
    if again is not None:
        store.close()
        store = again()
        first_ms, first_cpu = took(partial(store.search, "large", queries[0], NEAREST))
        click.echo(f"restart and first search: {first_ms / 1000:.2f} s, {first_cpu / 1000:.2f} CPU")
    for depth in DEPTHS:
        search(store, vectors, queries, depth)
    if again is None:
        return
    documents = len(vectors) // DOCUMENT
    for share in (0.01, 0.1, 0.5):
        chosen = list(range(max(1, int(documents * share))))
        inside = np.arange(len(vectors)) < len(chosen) * DOCUMENT
        search(store, vectors, queries, 10, chosen, inside)
    gone = list(range(0, documents, 5))
    ms, cpu_ms = took(partial(store.remove, "large", gone))
    click.echo(f"removed {len(gone)} documents of {DOCUMENT:,}: {ms / 1000:.2f} s, {cpu_ms / 1000:.2f} CPU")
    search(store, vectors, queries, 10, None, np.arange(len(vectors)) // DOCUMENT % 5 != 0)
    store.close()


def _starts(first: int, end: int) -> range:
    return range(first, min(first + BATCH, end), DOCUMENT)


def search(
    store: Any,
    vectors: Vectors,
    queries: Vectors,
    depth: int,
    documents: Sequence[int] | None = None,
    inside: Any = None,
) -> None:
    times, recalls, wrong = [], [], 0
    for query in queries:
        scores = vectors @ query
        if inside is not None:
            scores = np.where(inside, scores, -2.0)
        truth = set(np.argpartition(-scores, depth)[:depth].tolist())
        found: list[tuple[int, float]] = []
        times.append(took(partial(_search_into, found, store, query, depth, documents)))
        keys = {key for key, _ in found}
        recalls.append(len(keys & truth) / depth)
        wrong += 0 if inside is None else sum(not inside[key] for key in keys)
    wall = sorted(ms for ms, _ in times)
    label = "all" if documents is None else f"{len(documents)} documents"
    click.echo(
        f"{depth} nearest of {label}: recall {statistics.mean(recalls):.4f} (worst {min(recalls):.2f}), "
        f"p50 {statistics.median(wall):.1f} ms, p99 {wall[int(0.99 * len(wall))]:.1f}, "
        f"CPU {statistics.median(cpu for _, cpu in times):.1f}; not allowed {wrong}"
    )


def _search_into(found: list[tuple[int, float]], store: Any, query: Vectors, depth: int, documents: Any) -> None:
    found.extend(store.search("large", query, depth, documents))


def took(work: Callable[[], object]) -> tuple[float, float]:
    """Return milliseconds of wall-clock time and of CPU time."""
    began, began_cpu = perf_counter(), process_time()
    work()
    return (perf_counter() - began) * 1000, (process_time() - began_cpu) * 1000


def resident_mb() -> float:
    status = Path("/proc/self/status").read_text("utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option("--store", type=click.Choice(["exact", "chroma", "hnswlib", "usearch"]), default="exact")
@click.option("--vectors", "size", default=500_000, show_default=True)
@click.option("--questions", default=200, show_default=True)
@click.option("--exact-up-to", default=200_000, show_default=True, help="The setting of the store `exact`.")
def main(folder: Path, store: str, size: int, questions: int, exact_up_to: int) -> None:
    real, queries = read(folder, "texts"), read(folder, "questions")
    queries = queries[np.random.default_rng(3).permutation(len(queries))[:questions]]
    vectors = grown(real, size)
    click.echo(f"{store}: {size:,} vectors, of which {min(size, len(real)):,} are real; {len(queries)} real questions")
    if store in ("hnswlib", "usearch"):
        measure(Library(store, size), vectors, queries, None)
        return
    with tempfile.TemporaryDirectory() as place:
        opened: Callable[[], VectorStore] = (
            partial(ExactStore, Path(place), exact_up_to) if store == "exact" else partial(ChromaStore, Path(place))
        )
        measure(opened(), vectors, queries, opened)
        files = sum(path.stat().st_size for path in Path(place).rglob("*") if path.is_file())
        click.echo(f"on the disk: {files / 2**20:,.0f} MB")


if __name__ == "__main__":
    main()
