"""Prints the output of the commands of `foreword collections`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.context.ingest.ingest import AddedFile
    from gateway.context.ingest.ingest import Progress as Ingesting
    from gateway.exchange import Chunk

COLOURS = {"added": "green", "replaced": "yellow", "unchanged": "dim", "failed": "red"}
SNIPPET = 160


@contextmanager
def progress(*, quiet: bool) -> Iterator[Any]:
    """Show a progress bar on standard error, because the summary or JSON goes to standard output."""
    if quiet:
        yield lambda _now: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[chunks]}"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    # without a terminal, the bar would only print an empty line
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None, chunks="")

        def on_progress(now: Ingesting) -> None:
            done = now.file - 1 + (now.done / now.chunks if now.chunks else 0)
            chunks = f"{now.done}/{now.chunks} chunks" if now.chunks else "reading"
            bar.update(task, description=f"{now.file}/{now.files} {now.source}", completed=done, total=now.files)
            bar.update(task, chunks=chunks)

        yield on_progress


def added_values(row: AddedFile) -> dict[str, Any]:
    """Return the JSON result for one file."""
    from gateway.context.reading.summary import report_values

    values = {"source": row.source, "state": row.state, "chunks": row.chunks, "reason": row.reason}
    report = report_values(row.report)
    return {**values, "report": report} if report else values


def print_added(collection: str, reports: Sequence[AddedFile], left_out: str = "") -> None:
    """Print what was added. `left_out` is the gateway's own folder if it was among the folders."""
    from rich.console import Console
    from rich.markup import escape

    from gateway.context.reading.summary import summary_lines

    console = Console(soft_wrap=True, highlight=False)
    for row in reports:
        colour = COLOURS[row.state]
        size = f"{row.chunks} {'chunk' if row.chunks == 1 else 'chunks'}"
        line = row.reason if row.state == "failed" else f"{row.source} ({size})"
        console.print(f"[{colour}]{row.state:<9}[/{colour}] {escape(line)}")
        for detail in summary_lines(row.report):
            console.print(f"          {escape(detail)}")
    if left_out:
        console.print(f"left out  {escape(left_out)}: the gateway's own data")
    counts = {state: sum(row.state == state for row in reports) for state in COLOURS}
    summary = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "no documents found"
    console.print(f"{escape(collection)}: {summary}")


def print_chunks(chunks: Sequence[Chunk], relevance: float, floor: float) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(soft_wrap=True, highlight=False)
    used = "used" if relevance >= floor else "not used, unless the request requires them"
    console.print(f"relevance {relevance:.2f}, floor {floor:.2f}: {used}")
    for chunk in chunks:
        page = f", page {chunk.page}" if chunk.page else ""
        console.print(
            f"[bold]{chunk.score:.3f}[/bold]  {escape(chunk.source)}{page}  [cyan]{escape(chunk.heading)}[/cyan]"
        )
        text = " ".join(chunk.text.split())
        console.print(f"       {escape(text[:SNIPPET])}{'...' if len(text) > SNIPPET else ''}")
