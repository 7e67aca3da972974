"""`foreword collections`: the commands that add, list, search and remove documents."""

import json
from pathlib import Path
from typing import Any

import click

from gateway.cli.collections import parts as parts
from gateway.cli.collections import tables as view
from gateway.cli.config import config_option, load_settings
from gateway.cli.listing import print_rows

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")


@click.group()
def collections() -> None:
    """Add documents, and search them as requests do.

    \b
    foreword collections add handbook docs/*.md report.pdf notes.docx page.html
    foreword collections search handbook "How many days of leave are there?"

    In a request, name the collection: {"foreword": {"collections": ["handbook"]}, ...}

    A running gateway uses new documents at once.
    """


@collections.command()
@click.argument("collection")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--attribute",
    "attributes",
    multiple=True,
    metavar="KEY=VALUE",
    help="An attribute of the files, for filters. Repeatable.",
)
@json_option
@config_option
def add(collection: str, paths: tuple[Path, ...], attributes: tuple[str, ...], as_json: bool, config: Path) -> None:
    """Add files, or all documents in folders, to a collection.

    An unchanged file is skipped, and a changed file replaces its old version. An interrupted command can simply be
    repeated. Exits with 1 if a file failed; the other files are added.

    \b
    Example:  foreword collections add handbook docs/ report.pdf --attribute year=2026
    """
    from gateway.context.ingest.ingest import IngestItem, source_name
    from gateway.context.store.collections import OPERATOR

    settings = load_settings(config)
    values = _attributes(attributes)
    with parts.opened(settings) as known, parts.ingesting(settings, known) as ingest:
        named, left_out = parts.files_of(paths, settings.data_folder)
        files = [path.resolve() for path in named]
        items = [IngestItem(path, source_name(path, settings.root), attributes=values) for path in files]
        with view.progress(quiet=as_json) as on_progress:
            reports = ingest.add(known.find_or_create(collection, OPERATOR), items, on_progress)
    own = str(settings.data_folder) if left_out else ""
    if as_json:
        _echo({"collection": collection, "files": [view.added_values(row) for row in reports], "left_out": own})
    else:
        view.print_added(collection, reports, own)
    if any(row.state == "failed" for row in reports):
        raise SystemExit(1)


@collections.command("list")
@json_option
@config_option
def list_collections(as_json: bool, config: Path) -> None:
    """List all collections with their keys and their numbers of documents and chunks."""
    from gateway.context.store.collections import OPERATOR

    settings = load_settings(config)
    with parts.opened(settings) as known:
        rows = [_listed(known, collection) for collection in known.readable(OPERATOR)]
    if as_json:
        _echo({"collections": rows})
    elif not rows:
        click.echo("There are no collections yet. Add one: foreword collections add handbook docs/*.md")
    else:
        shown = [(*[row[key] for key in ("name", "id", "owner")], len(row["documents"]), row["chunks"]) for row in rows]
        print_rows(("collection", "id", "key", "documents", "chunks"), shown)


@collections.command()
@click.argument("collection")
@click.argument("query")
@click.option(
    "--limit", default=5, show_default=True, type=click.IntRange(1, 50), help="List at most this many chunks."
)
@click.option(
    "--weight",
    type=click.FloatRange(0, 1),
    help="The weight of vector similarity in the score, from 0 to 1; usually 0.5.",
)
@json_option
@config_option
def search(collection: str, query: str, limit: int, weight: float | None, as_json: bool, config: Path) -> None:
    """List the best chunks for a query, best first, with their scores. A request uses these chunks only if the
    collection is relevant enough to the query.

    \b
    Example:  foreword collections search handbook "Who signs a leave form?"
    """
    from gateway.context.store.collections import Wish

    settings = load_settings(config)
    with parts.opened(settings) as known:
        # the name is checked before the embedder loads, which takes seconds
        store = parts.require(known, collection)
        vector = parts.embedder(settings).embed([query])[0]
        result = known.examine(store, Wish(query, vector, limit, weight=weight))
    chunks, floor = [hit.chunk for hit in result.hits], settings.context.relevance
    if as_json:
        from gateway.context.pack import citations

        rows = [{**row, "text": chunk.text} for row, chunk in zip(citations(chunks), chunks, strict=True)]
        _echo({"relevance": round(result.relevance, 3), "floor": floor, "chunks": rows})
    else:
        view.print_chunks(chunks, result.relevance, floor)


@collections.command()
@click.argument("collection")
@click.option("--source", default=None, help="Delete only this document. `search` and `list --json` show the names.")
@json_option
@config_option
def remove(collection: str, source: str | None, as_json: bool, config: Path) -> None:
    """Delete a collection, or one of its documents. The deleted text is overwritten on disk.

    \b
    Example:  foreword collections remove handbook --source docs/old.md
    """
    settings = load_settings(config)
    with parts.opened(settings) as known:
        store = parts.require(known, collection)
        documents = known.documents(store.id)
        if source is None:
            count = documents.count()
            known.drop(store.id)
        else:
            row = documents.live_at(source)
            count = known.clear(store.id, [row.key]) if row else 0
    if as_json:
        _echo({"collection": collection, "source": source, "removed_chunks": count})
    elif source is not None and not count:
        raise click.ClickException(f"There is no document {source!r} in {collection!r}.")
    else:
        click.echo(f"{count} {'chunk' if count == 1 else 'chunks'} removed.")


def _listed(known: Any, collection: Any) -> dict[str, Any]:
    documents = known.documents(collection.id)
    return {
        "name": collection.name,
        "id": collection.id,
        "owner": collection.owner,
        "documents": [row.title or row.source for row in documents.live()],
        "chunks": documents.count(),
    }


def _attributes(pairs: tuple[str, ...]) -> dict[str, str | float | bool]:
    """Convert pairs such as `year=2026` to attributes. Numbers, `true` and `false` are converted; other values stay
    text."""
    attributes: dict[str, str | float | bool] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint="--attribute")
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = value
        attributes[key] = parsed if isinstance(parsed, int | float | bool) else value
    return attributes


def _echo(value: dict[str, Any]) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))
