"""Measures how the cost of collections grows: adding files to one collection, and finding one of many collections,
and searching a large collection in the store `exact`.

    python benchmarks/growth.py [--files 10000] [--collections 5000] [--vectors 500000] [--novel frankenstein_en.txt]

The embedder is a bag of words (a word is a dimension; some 20 us a text), and the documents are text files, read in
this process. So the times are those of the store, the catalog and the word index. A real embedder adds its own time to
each file, whatever the size of the collection.

`--novel` adds a text as one PDF of 300 pages, with MiniLM, and says what reading, cutting and embedding take.

The large collection has random vectors. `exact` compares all of them, so its times do not depend on their values. They
say nothing about a store with an approximate index.
"""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
import textwrap
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import click

sys.path.insert(0, str(Path(__file__).parents[1]))

from gateway.ask import ClientKey
from gateway.context.embedding.sentence import DEFAULT_MODEL, SentenceEmbedder
from gateway.context.ingest.ingest import Ingest, IngestItem
from gateway.context.reading.chunk import Cut, chunk
from gateway.context.reading.document import Document
from gateway.context.reading.readers import read
from gateway.context.store import lexical
from gateway.context.store.catalog import Catalog
from gateway.context.store.collections import OPERATOR, Collections, Wish
from gateway.context.store.exact import ExactStore
from gateway.exchange import Chunk
from gateway.resources import locate

if TYPE_CHECKING:
    from gateway.ports import Vectors

SIZES = (100, 1_000, 5_000, 10_000)
COUNTS = (10, 1_000, 5_000)
VECTORS = (100_000, 250_000, 500_000)
BATCH = 10_000
MEASURED = 100
FILLED = 1_000
WORD = re.compile(r"\w+")
DIMENSIONS = 384
PARAGRAPHS = 5
PAGES = 300


class WordBag:
    """Satisfies `ports.Embedder`."""

    name = "bag"
    dimensions = DIMENSIONS
    window_tokens = 256

    def embed(self, texts: Sequence[str]) -> Vectors:
        import numpy as np

        rows = np.zeros((len(texts), DIMENSIONS), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in WORD.findall(text.lower()):
                row[zlib.crc32(word.encode()) % DIMENSIONS] += 1
            row /= np.linalg.norm(row) or 1
        return rows

    def count_tokens(self, text: str) -> int:
        return len(WORD.findall(text))


def text_of(number: int) -> str:
    """Return five sections of two dozen words each, one chunk per section."""
    words = " ".join(f"word{(number * 31 + place * place) % 5000}" for place in range(24))
    return "\n\n".join(f"# Section {part} of file {number}\n\nOn {part}: {words}." for part in range(PARAGRAPHS))


def files(folder: Path, most: int) -> Iterator[str]:
    """Yield milliseconds per file, for the last files up to each size, with one call of `add` per file."""
    collections = Collections(Catalog(folder / "catalog.sqlite3"), ExactStore(folder / "vectors"))
    ingest = Ingest(collections, WordBag(), read, folder / "turns", Cut(64))
    collection = collections.find_or_create("files", OPERATOR)
    done = 0
    for size in (size for size in SIZES if size <= most):
        items = [_item(folder, number) for number in range(done, size)]
        ingest.add(collection, items[:-MEASURED])
        times = [_took(partial(ingest.add, collection, [item])) for item in items[-MEASURED:]]
        vector = WordBag().embed(["section 3 of file 77"])[0]
        wish = Wish("section 3 of file 77", vector, 5)
        searches = [_took(partial(collections.look_up, collection, wish)) for _ in range(20)]
        chunks = collections.documents(collection.id).count()
        wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        cells = (
            f"{size:,}",
            f"{chunks:,}",
            f"{wall:.1f}",
            f"{cpu:.1f}",
            f"{statistics.median(cpu for _, cpu in searches):.1f}",
        )
        yield f"| {' | '.join(cells)} |"
        done = size
    collections.close()


def _item(folder: Path, number: int) -> IngestItem:
    path = folder / f"{number}.md"
    path.write_text(text_of(number), "utf-8")
    return IngestItem(path, path.name)


def look_ups(folder: Path, most: int) -> Iterator[str]:
    """Yield milliseconds at each number of collections: to find one by name and by id, to create one, and to add a
    first text. Up to `FILLED` collections have texts, and therefore tables of their own."""
    collections = Collections(Catalog(folder / "catalog.sqlite3"), ExactStore(folder / "vectors"))
    done = 0
    for count in (count for count in COUNTS if count <= most):
        created = [_took(partial(collections.catalog.create, f"user{n}", "notes")) for n in range(done, count)]
        empty = [each.id for each in collections.readable(OPERATOR)][done : min(count, FILLED)]
        filled = [_took(partial(_fill, collections.catalog, id)) for id in empty]
        key = ClientKey(f"user{count // 2}")
        store = collections.find("notes", key)
        assert store is not None
        by_name = [_took(partial(collections.find, "notes", key)) for _ in range(MEASURED)]
        by_id = [_took(partial(collections.by_id, store.id, key)) for _ in range(MEASURED)]
        cells = [_median(some) for some in (by_name, by_id, created[-MEASURED:], filled[-MEASURED:])]
        yield f"| {count:,} | {' | '.join(cells)} |"
        done = count
    collections.close()


def novel(folder: Path, text: Path) -> Iterator[str]:
    """Yield what each step of adding a long PDF takes, in CPU time of this process, where the file is read too."""
    from tests.doubles.documents import pdf

    lines = textwrap.wrap(text.read_text("utf-8").encode("latin-1", "ignore").decode("latin-1"), 75)
    lines = lines[: PAGES * -(-len(lines) // PAGES)]
    each = -(-len(lines) // PAGES)
    pages = [
        [(line, 60.0, 800.0 - 700 / each * row, 8.0) for row, line in enumerate(lines[first : first + each])]
        for first in range(0, len(lines), each)
    ]
    path = folder / "novel.pdf"
    path.write_bytes(pdf(*pages))
    embedder = SentenceEmbedder("minilm", locate(DEFAULT_MODEL, Path()))
    embedder.embed(["A first call loads the model."])
    collections = Collections(Catalog(folder / "catalog.sqlite3"), ExactStore(folder / "vectors"))
    ingest = Ingest(collections, embedder, read, folder / "turns", Cut())
    collection = collections.find_or_create("novel", OPERATOR)
    documents: list[Document] = []
    chunks: list[Chunk] = []
    reading = _took(lambda: documents.append(read(path)))
    cutting = _took(
        lambda: chunks.extend(chunk(documents[0], "c", path.name, embedder.count_tokens, Cut(), embedder.window_tokens))
    )
    adding = _took(partial(ingest.add, collection, [IngestItem(path, path.name)]))
    for name, (wall, cpu) in (("reading", reading), ("cutting", cutting), ("all of adding", adding)):
        yield f"| {name} | {wall / 1000:.1f} | {cpu / 1000:.1f} |"
    yield f"{len(documents[0].pages)} pages, {path.stat().st_size // 1024:,} kB, {len(chunks):,} chunks"
    collections.close()


def vectors(folder: Path, most: int) -> Iterator[str]:
    """Yield, for each number of vectors: thousands added a second, milliseconds of a search, seconds until a store that
    was opened again has found something (its files are in the page cache), and MB on the disk."""
    import numpy as np

    generator = np.random.default_rng(7)
    store, done = ExactStore(folder), 0
    for size in (size for size in VECTORS if size <= most):
        added_s = 0.0
        for first in range(done, size, BATCH):
            rows = generator.standard_normal((BATCH, DIMENSIONS), np.float32)
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            added_s += _took(partial(store.add, "large", first, range(first, first + BATCH), rows))[0] / 1000
        store.close()
        store = ExactStore(folder)
        queries = generator.standard_normal((MEASURED + 1, DIMENSIONS), np.float32)
        again_ms, _ = _took(partial(store.search, "large", queries[-1], 30))
        times = [_took(partial(store.search, "large", query, 30)) for query in queries[:MEASURED]]
        wall = sorted(wall for wall, _ in times)
        cells = (
            f"{size:,}",
            f"{(size - done) / added_s / 1000:.0f}",
            f"{statistics.median(wall):.0f}",
            f"{wall[int(0.99 * len(wall))]:.0f}",
            f"{statistics.median(cpu for _, cpu in times):.0f}",
            f"{again_ms / 1000:.2f}",
            f"{sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()) / 2**20:,.0f}",
        )
        yield f"| {' | '.join(cells)} |"
        done = size
    store.close()


def _fill(catalog: Catalog, collection: str) -> None:
    with catalog.writing() as database:
        lexical.add(database, collection, [(1, "A text of six words.")])


def _median(times: Sequence[tuple[float, float]]) -> str:
    return f"{statistics.median(wall for wall, _ in times):.2f}" if times else "-"


def _took(work: Callable[[], object]) -> tuple[float, float]:
    """Return milliseconds of wall-clock time and of CPU time."""
    began, began_cpu = perf_counter(), process_time()
    work()
    return (perf_counter() - began) * 1000, (process_time() - began_cpu) * 1000


@click.command(help=__doc__)
@click.option("--files", "most_files", default=SIZES[-1], show_default=True, help="Add up to this many files.")
@click.option(
    "--collections", "most", default=COUNTS[-1], show_default=True, help="Create up to this many collections."
)
@click.option("--novel", "text", type=click.Path(path_type=Path, exists=True), help="Add this text as a PDF alone.")
@click.option("--vectors", "most_vectors", default=VECTORS[-1], show_default=True, help="Add up to this many vectors.")
def main(most_files: int, most: int, most_vectors: int, text: Path | None) -> None:
    if text is not None:
        with tempfile.TemporaryDirectory() as folder:
            click.echo("\n| a PDF | s | CPU |\n|---|---:|---:|")
            for row in novel(Path(folder), text):
                click.echo(row)
        return
    with tempfile.TemporaryDirectory() as folder:
        click.echo("\n| files | chunks | ms a file | of them CPU | CPU ms a search |")
        click.echo("|------:|-------:|----------:|------------:|----------------:|")
        for row in files(Path(folder), most_files):
            click.echo(row)
    with tempfile.TemporaryDirectory() as folder:
        click.echo("\n| collections | ms to find by name | by id | ms to create | ms for the first text |")
        click.echo("|------------:|-------------------:|------:|-------------:|----------------------:|")
        for row in look_ups(Path(folder), most):
            click.echo(row)
    with tempfile.TemporaryDirectory() as folder:
        click.echo("\n| vectors | thousand added a second | ms a search, p50 | p99 | CPU | s after a restart | MB |")
        click.echo("|--------:|------------------------:|-----------------:|----:|----:|------------------:|---:|")
        for row in vectors(Path(folder), most_vectors):
            click.echo(row)


if __name__ == "__main__":
    main()
