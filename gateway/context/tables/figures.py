"""Reads tables and lists in a text, and computes figures: counts, sums, averages, extremes, and figures by group.

Nothing is guessed. A column has figures only if each of its cells is a number or empty. The task is not interpreted.
The figures become a source in the prompt. The columns that the task names come first.
"""

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation

from msgspec import Struct

FEWEST_ROWS = 3
MOST_GROUPS = 40
"""If a column has more distinct values than this, the rows are not grouped by the column."""
EXTREMES = 3
TITLE_WORDS, TITLE_CHARS = 6, 40
LONGEST_RULE = 1000
_PIPE_RULE = re.compile(r"^\s*\|?\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)*\|?\s*$")
_ITEM = re.compile(r"^[ \t]*(?:[-*+•·]|\d{1,4}[.)、])[ \t]*\S", re.MULTILINE)
_NUMBER = re.compile(
    r"^[^\w+\-.(]{0,3}\s*(?P<sign>[-+−]?)(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.?\d+)\s*[^\w]{0,3}$"
)
_CURRENCY = re.compile(r"(?:USD|EUR|GBP|CNY|RMB|元|美元|欧元|万元|kg|km|h|s|ms)$", re.IGNORECASE)
SEPARATORS = (",", "\t", ";", "|")


class TextTable(Struct, frozen=True):
    """A table in a text: its range of characters [start, end), its column names and its rows."""

    start: int
    end: int
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def numbers(self, column: int) -> list[tuple[int, Decimal]]:
        """Return the numbers in a column, each as (index of the row, number). The list is empty if a cell is neither a
        number nor empty.
        """
        found = []
        for place, row in enumerate(self.rows):
            if not row[column].strip():
                continue
            number = number_in(row[column])
            if number is None:
                return []
            found.append((place, number))
        return found


class TextLead(Struct, frozen=True):
    """The title row of a table in a text. [start, end) is the range of characters of the whole table."""

    start: int
    end: int
    text: str


def number_in(cell: str) -> Decimal | None:
    """Return the number in a cell. The cell may have a currency sign, a unit and thousands separators.

    The result is None if the cell has no number, or if the meaning of a comma is ambiguous.
    """
    text = _CURRENCY.sub("", cell.strip()).strip()
    match = _NUMBER.match(text)
    if match is None:
        return None
    try:
        number = Decimal(match["digits"].replace(",", ""))
    except InvalidOperation:
        return None
    return -number if match["sign"] in ("-", "−") else number


def tables_in(text: str) -> list[TextTable]:
    """Return the tables in a text. A table is a Markdown table, or a block of lines with the same number of separated
    values.
    """
    found = []
    for start, end in _blocks(text):
        block = text[start:end]
        table = _piped(block) or _separated(block)
        if table is not None:
            columns, rows = table
            found.append(TextTable(start, end, columns, rows))
    return found


def leads_in(text: str) -> list[TextLead]:
    """Return the title rows of the tables in a text."""
    return [TextLead(table.start, table.end, _title_row(text[table.start : table.end])) for table in tables_in(text)]


def lead_at(leads: Sequence[TextLead], place: int) -> str:
    """Return the title row of the table that contains the position `place`, or "" if there is none. A position within
    the title row does not count.
    """
    return next((lead.text for lead in leads if lead.start + len(lead.text) < place < lead.end), "")


def _is_rule(line: str) -> bool:
    """Whether a line separates the title row of a Markdown table from the other rows."""
    return "|" in line and len(line) <= LONGEST_RULE and _PIPE_RULE.match(line) is not None


def _title_row(block: str) -> str:
    lines = block.strip("\n").split("\n")
    rule = next((place for place, line in enumerate(lines) if _is_rule(line)), 0)
    return "\n".join(lines[rule - 1 : rule + 1]) if rule else lines[0]


def items_in(text: str) -> int:
    """Return the number of list items in a text."""
    return len(_ITEM.findall(text))


def figures_of(table: TextTable, task: str) -> list[str]:
    """Return the figures of a table as lines. The columns that the task names come first."""
    wanted = task.casefold()
    order = sorted(range(len(table.columns)), key=lambda column: table.columns[column].casefold() not in wanted)
    numeric = {column: numbers for column in order if (numbers := table.numbers(column))}
    lines = [f"rows: {len(table.rows)}; columns: {', '.join(table.columns)}"]
    lines += [_totals(table, column, numbers) for column, numbers in numeric.items()]
    grouping = [column for column in order if column not in numeric]
    for column in grouping:
        lines += _groups(table, column, numeric)
    return lines


def _totals(table: TextTable, column: int, numbers: Sequence[tuple[int, Decimal]]) -> str:
    values = [number for _, number in numbers]
    ranked = sorted(numbers, key=lambda pair: pair[1])
    middle = sorted(values)[(len(values) - 1) // 2 : len(values) // 2 + 1]
    low = "; ".join(f"{_plain(number)} ({_row(table, place)})" for place, number in ranked[:EXTREMES])
    high = "; ".join(f"{_plain(number)} ({_row(table, place)})" for place, number in ranked[::-1][:EXTREMES])
    return (
        f"{table.columns[column]}: {len(values)} numbers; sum {_plain(sum(values, Decimal()))}; "
        f"average {_rounded(sum(values, Decimal()) / len(values))}; "
        f"median {_rounded(sum(middle, Decimal()) / len(middle))}; lowest: {low}; highest: {high}"
    )


def _groups(table: TextTable, column: int, numeric: Mapping[int, Sequence[tuple[int, Decimal]]]) -> Iterator[str]:
    counts = Counter(row[column].strip() for row in table.rows)
    name = table.columns[column]
    if len(counts) == len(table.rows) or len(counts) > MOST_GROUPS:
        yield f"{name}: {len(counts)} different values"
        return
    yield f"{name}: {len(counts)} different values; rows of each: " + _list(counts.most_common())
    for other, numbers in numeric.items():
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for place, number in numbers:
            sums[table.rows[place][column].strip()] += number
        ranked = sorted(sums.items(), key=lambda pair: -pair[1])
        yield f"sum of {table.columns[other]} by {name}: " + _list([(key, _plain(value)) for key, value in ranked])


def _list(pairs: Sequence[tuple[str, object]]) -> str:
    return "; ".join(f"{key or '(empty)'} {value}" for key, value in pairs)


def _row(table: TextTable, place: int) -> str:
    """Return a row's first cell that is not empty and not a number. If there is none, return `row` and the number of
    the row.
    """
    names = [cell.strip() for cell in table.rows[place] if cell.strip() and number_in(cell) is None]
    return names[0][:40] if names else f"row {place + 1}"


def _plain(number: Decimal) -> str:
    return f"{number:f}"


def _rounded(number: Decimal) -> str:
    return f"{round(number, 4).normalize():f}"


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Yield the range of characters of each run of lines that are not blank."""
    start = place = 0
    for line in text.splitlines(keepends=True):
        if not line.strip():
            if place > start:
                yield start, place
            start = place + len(line)
        place += len(line)
    if place > start:
        yield start, place


Cells = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]


def _piped(block: str) -> Cells | None:
    lines = block.strip("\n").split("\n")
    rule = next((place for place, line in enumerate(lines) if _is_rule(line)), 0)
    if not rule:
        return None
    columns = _cells(lines[rule - 1])
    rows = [_cells(line) for line in lines[rule + 1 :]]
    return _table(columns, rows)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]


def _separated(block: str) -> Cells | None:
    lines = block.strip("\n").split("\n")
    for mark in SEPARATORS:
        if lines[0].count(mark) < 1:
            continue
        try:
            columns, *rows = csv.reader(io.StringIO(block.strip("\n")), delimiter=mark, strict=True)
        except csv.Error:
            continue
        if table := _table(columns, rows):
            return table
    return None


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Cells | None:
    """Return the column names and the rows, or None if these cells are no table. Each row must have a cell for each
    column. The column names must be distinct and short, and must not be numbers.
    """
    names = tuple(column.strip() for column in columns)
    if len(rows) < FEWEST_ROWS or len(names) < 2 or len(set(names)) < len(names) or not all(names):
        return None
    if any(len(row) != len(names) for row in rows) or any(number_in(name) is not None for name in names):
        return None
    # sentences with commas are not a title row
    if any(len(name.split()) > TITLE_WORDS or len(name) > TITLE_CHARS or name[-1] in ".!?。！？" for name in names):
        return None
    return names, tuple(tuple(row) for row in rows)
