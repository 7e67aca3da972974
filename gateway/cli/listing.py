"""Prints tables without truncating cells to the terminal's width."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(value: str, style: str = "") -> "Text":
    """Make text from users printable: markup has no effect, and control characters are replaced."""
    from rich.text import Text

    return Text(_CONTROL.sub("\ufffd", value), style=style)


def facts_table(facts: Mapping[str, str]) -> "Table":
    """Return a table with a line for each fact: the name in bold, and the value."""
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in facts.items():
        table.add_row(name, plain(value))
    return table


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """Print one line per row. A narrow terminal wraps lines. `right` names the right-aligned columns, such as
    numbers."""
    # imported here, because importing rich takes 50 ms and most commands print no table
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name, no_wrap=True, justify="right" if name in right else "left")
    for row in rows:
        table.add_row(*(plain(str(cell)) for cell in row))
    console = Console()
    natural = table.__rich_measure__(console, console.options.update(max_width=10_000)).maximum
    console.width = max(console.width, natural)
    console.print(table)
