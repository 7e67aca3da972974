"""`foreword collections`: the documents that requests can be answered from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.config import config_option, load_settings, report
from gateway.errors import CollectionError, ConfigError, Problem
from gateway.settings import KindTable, Settings

if TYPE_CHECKING:  # rich, numpy and the stores are loaded when a command runs, not for --help
    from gateway.context.ingest import Added
    from gateway.context.ingest import Progress as Ingesting
    from gateway.exchange import Chunk
    from gateway.ports import Embedder, VectorStore

READABLE = (".md", ".markdown", ".txt", ".rst", ".html", ".htm", ".xhtml", ".pdf", ".docx")
"""What is taken from a folder; a file that is named itself is always read."""

COLOURS = {"added": "green", "replaced": "yellow", "unchanged": "dim", "failed": "red"}
SNIPPET = 160

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")


@click.group()
def collections() -> None:
    """Take documents in, and look at what requests would find in them.

    \b
    foreword collections add handbook docs/*.md report.pdf notes.docx page.html
    foreword collections search handbook "How many days of leave are there?"

    A request names the collection: {"foreword": {"collections": ["handbook"]}, ...}
    The gateway may be running; it sees new documents at once.
    """


@collections.command()
@click.argument("collection")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
@config_option
def add(collection: str, paths: tuple[Path, ...], as_json: bool, config: Path) -> None:
    """Take files, or all the documents in folders, into a collection.

    A file that has not changed is left alone, and a changed one replaces what it was, so the same
    command can be given again at any time, also after it was interrupted. Exits with 1 if any file
    failed; the others are in.

    \b
    Example:  foreword collections add handbook docs/ report.pdf
    """
    from gateway.context.ingest import Ingest
    from gateway.context.manifest import Manifest

    settings = load_settings(config)
    with opened(settings) as store:
        ingest = Ingest(
            store,
            _embedder(settings),
            Manifest(manifest_file(settings)),
            settings.root,
            settings.context.chunk_tokens,
        )
        with _progress(quiet=as_json) as on_progress:
            reports = ingest.add(collection, files_of(paths), on_progress)
    if as_json:
        rows = [
            {"source": row.source, "state": row.state, "chunks": row.chunks, "reason": row.reason} for row in reports
        ]
        click.echo(json.dumps({"collection": collection, "files": rows}, ensure_ascii=False))
    else:
        _print_added(collection, reports)
    if any(row.state == "failed" for row in reports):
        raise SystemExit(1)


@collections.command("list")
@json_option
@config_option
def list_collections(as_json: bool, config: Path) -> None:
    """All collections, with how many documents and chunks they hold."""
    from gateway.context.manifest import Manifest

    settings = load_settings(config)
    manifest = Manifest(manifest_file(settings))
    with opened(settings) as store:
        rows = [(name, manifest.entries(name), store.count(name)) for name in store.collections()]
    if as_json:
        found = [
            {"name": name, "documents": [entry.source for entry in entries], "chunks": chunks}
            for name, entries, chunks in rows
        ]
        click.echo(json.dumps({"collections": found}, ensure_ascii=False))
    elif not rows:
        click.echo("There are no collections yet. Add one: foreword collections add handbook docs/*.md")
    else:
        _print_table(("collection", "documents", "chunks"), [(name, len(docs), count) for name, docs, count in rows])


@collections.command()
@click.argument("collection")
@click.argument("query")
@click.option("--limit", default=5, show_default=True, type=click.IntRange(1, 50), help="How many chunks at the most.")
@json_option
@config_option
def search(collection: str, query: str, limit: int, as_json: bool, config: Path) -> None:
    """The chunks that are nearest to a query, best first, with their similarity.

    A request uses those at or above `[context] floor`.

    \b
    Example:  foreword collections search handbook "Who signs a leave form?"
    """
    settings = load_settings(config)
    with opened(settings) as store:
        # An unknown name is told before the seconds in which the embedder loads.
        _require(store, collection)
        found = store.search(collection, _embedder(settings).embed([query])[0], limit)
    if as_json:
        from gateway.context.retrieve import citations

        rows = [{**row, "text": chunk.text} for row, chunk in zip(citations(found), found, strict=True)]
        click.echo(json.dumps({"chunks": rows}, ensure_ascii=False))
    else:
        _print_found(found, settings.context.floor)


@collections.command()
@click.argument("collection")
@click.option("--source", default=None, help="Only this document, as `search` and `list --json` name it.")
@json_option
@config_option
def remove(collection: str, source: str | None, as_json: bool, config: Path) -> None:
    """Delete a collection, or one document of it.

    \b
    Example:  foreword collections remove handbook --source docs/old.md
    """
    from gateway.context.manifest import Manifest

    settings = load_settings(config)
    with opened(settings) as store:
        _require(store, collection)
        # The manifest first: if this is interrupted, adding the files again puts things right.
        Manifest(manifest_file(settings)).forget(collection, source)
        count = store.remove(collection, source)
    if as_json:
        click.echo(json.dumps({"collection": collection, "source": source, "removed_chunks": count}))
    elif source is not None and not count:
        raise click.ClickException(f"There is no document {source!r} in {collection!r}.")
    else:
        click.echo(f"{count} {'chunk' if count == 1 else 'chunks'} removed.")


def manifest_file(settings: Settings) -> Path:
    return settings.data_folder / "collections.sqlite3"


def files_of(paths: Sequence[Path]) -> list[Path]:
    """The files, with folders replaced by the documents in them."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.suffix.lower() in READABLE and file.is_file())
        else:
            found.append(path)
    return found


@contextmanager
def opened(settings: Settings) -> Iterator[VectorStore]:
    """The configured store. What is wrong with a document or a collection ends the command with its message."""
    store: VectorStore = _adapter(settings, "stores", "store", settings.store)
    try:
        yield store
    except CollectionError as error:
        raise click.ClickException(str(error)) from error
    finally:
        store.close()


def _embedder(settings: Settings) -> Embedder:
    embedder: Embedder = _adapter(settings, "embedders", "embedder", settings.embedder)
    return embedder


def _adapter(settings: Settings, group: str, name: str, table: KindTable | None) -> Any:
    if table is None:
        remedy = 'Add [store] with kind = "chroma" and [embedder] with kind = "sentence".'
        report(ConfigError([Problem(f"{settings.file} [{name}]", "collections need this table", remedy)]))
    from gateway.assembly import Parts, build_adapter

    problems: list[Problem] = []
    adapter = build_adapter(group, name, table, Parts(settings), problems)
    if problems:
        report(ConfigError(problems))
    return adapter


def _require(store: VectorStore, collection: str) -> None:
    known = store.collections()
    if collection not in known:
        listed = f"Known: {', '.join(known)}." if known else "There are none yet."
        raise click.ClickException(f"There is no collection {collection!r}. {listed}")


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Any]:
    """A bar on standard error; the summary and JSON go to standard output."""
    if quiet:
        yield lambda _progress: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[chunks]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None, chunks="")

        def on_progress(now: Ingesting) -> None:
            done = now.file - 1 + (now.done / now.chunks if now.chunks else 0)
            chunks = f"{now.done}/{now.chunks} chunks" if now.chunks else "reading"
            bar.update(task, description=f"{now.file}/{now.files} {now.source}", completed=done, total=now.files)
            bar.update(task, chunks=chunks)

        yield on_progress


def _print_added(collection: str, reports: Sequence[Added]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(soft_wrap=True, highlight=False)
    for row in reports:
        colour = COLOURS[row.state]
        told = (
            row.reason
            if row.state == "failed"
            else f"{row.source} ({row.chunks} {'chunk' if row.chunks == 1 else 'chunks'})"
        )
        console.print(f"[{colour}]{row.state:<9}[/{colour}] {escape(told)}")
    counts = {state: sum(row.state == state for row in reports) for state in COLOURS}
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "no documents found"
    console.print(f"{escape(collection)}: {told}")


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    Console().print(table)


def _print_found(found: Sequence[Chunk], floor: float) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(soft_wrap=True, highlight=False)
    for chunk in found:
        page = f", page {chunk.page}" if chunk.page else ""
        below = "  [dim]below the floor, not used[/dim]" if chunk.score < floor else ""
        console.print(
            f"[bold]{chunk.score:.3f}[/bold]  {escape(chunk.source)}{page}  [cyan]{escape(chunk.heading)}[/cyan]{below}"
        )
        text = " ".join(chunk.text.split())
        console.print(f"       {escape(text[:SNIPPET])}{'...' if len(text) > SNIPPET else ''}")
