"""Opens the configured parts, and finds the files to add, for `foreword collections`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.config import report
from gateway.errors import CollectionError, ConfigError, Problem
from gateway.settings.tables import KindTable, Settings

if TYPE_CHECKING:  # numpy and the stores are imported when a command runs, so that --help is fast
    from gateway.context.ingest.ingest import Ingest
    from gateway.context.store.catalog import Collection
    from gateway.context.store.collections import Collections
    from gateway.ports import Embedder, VectorStore

READABLE = (
    ".md", ".markdown", ".txt", ".rst", ".tex", ".html", ".htm", ".xhtml", ".mhtml", ".mht", ".pdf", ".docx", ".docm",
    ".odt", ".rtf", ".epub", ".pptx", ".odp", ".xlsx", ".xlsm", ".xls", ".xlsb", ".ods", ".csv", ".tsv",
    ".eml", ".mbox", ".msg", ".json", ".jsonl", ".ndjson", ".xml", ".ipynb", ".srt", ".vtt", ".yaml", ".toml",
    ".py", ".js", ".ts", ".java", ".go", ".rs", ".c", ".h", ".cpp", ".hpp", ".cs", ".rb", ".php", ".sh", ".sql",
)  # fmt: skip
"""The types of files that are read from a folder. A file named on the command line is always read."""
PATIENCE_S = 30.0
"""The time to wait while another process writes to the catalog."""


@contextmanager
def opened(settings: Settings) -> Iterator[Collections]:
    """Open the collections. An error of a document or a collection is shown as an error of the command."""
    from gateway.context.store.catalog import Catalog, catalog_file
    from gateway.context.store.collections import Collections

    vectors: VectorStore = adapter(settings, "stores", "store", settings.store)
    collections = Collections(Catalog(catalog_file(settings.data_folder), PATIENCE_S), vectors)
    try:
        yield collections
    except CollectionError as error:
        raise click.ClickException(str(error)) from error
    finally:
        collections.close()


@contextmanager
def ingesting(settings: Settings, collections: Collections) -> Iterator[Ingest]:
    from gateway.context.ingest.ingest import new_ingest, recognition_of
    from gateway.context.reading.parse_process import ParseProcess

    read = ParseProcess(recognition=recognition_of(settings))
    try:
        yield new_ingest(settings, collections, embedder(settings), read)
    finally:
        read.close()


def embedder(settings: Settings) -> Embedder:
    built: Embedder = adapter(settings, "embedders", "embedder", settings.embedder)
    return built


def require(collections: Collections, name: str) -> Collection:
    """Return the collection with this name or id. If there is none, exit and list the known names."""
    from gateway.context.store.collections import OPERATOR

    collection = collections.find(name, OPERATOR)
    if collection is None:
        known = [collection.name or collection.id for collection in collections.readable(OPERATOR)]
        listed = f"Known: {', '.join(known)}." if known else "There are no collections yet."
        raise click.ClickException(f"There is no collection {name!r}. {listed}")
    return collection


def files_of(paths: Sequence[Path], data_folder: Path) -> tuple[list[Path], bool]:
    """Replace each folder by the documents in the folder. The second value says whether files were left out.

    In `data_folder` the gateway keeps records and uploads, which others may have written. They are left out of a folder
    that contains it. A folder or file inside it is read if it is named.
    """
    own = data_folder.resolve()
    files: list[Path] = []
    left_out = False
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        readable = sorted(file for file in path.rglob("*") if file.suffix.lower() in READABLE and file.is_file())
        if own.is_relative_to(path.resolve()):
            kept = [file for file in readable if not file.resolve().is_relative_to(own)]
            left_out |= len(kept) < len(readable)
            readable = kept
        files += readable
    return files, left_out


def adapter(settings: Settings, group: str, name: str, table: KindTable | None) -> Any:
    """Build the adapter that a table of the configuration selects. If the table is missing or has mistakes, exit with
    status 2.
    """
    if table is None:
        remedy = 'Add [store] with kind = "chroma" and [embedder] with kind = "sentence".'
        report(ConfigError([Problem(f"{settings.file} [{name}]", "collections need this table", remedy)]))
    from gateway.adapters import Parts, build_adapter

    problems: list[Problem] = []
    adapter = build_adapter(group, name, table, Parts(settings), problems)
    if problems:
        report(ConfigError(problems))
    return adapter
