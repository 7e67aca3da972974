"""Finds the tables of a page. A table has rows between ruled lines, or lines with aligned cells."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from gateway.context.reading.formats.pdf.lines import TableBlock, TextLine, cells_of, lines_of
from gateway.context.reading.formats.pdf.words import PageWord, Rule

MOST_COLUMNS = 100
MOST_TABLES = 100
"""The maximum number of ruled tables that are read on a page. A page with more of them is a drawing."""
FARTHEST_RULE = 150
"""The maximum distance between two neighbouring ruled lines of a table, in points."""
CLOSE = 0.35
"""A line continues the row above it if the gap between them is at most this share of the line's height."""


def columns_of(run: Sequence[TextLine]) -> list[tuple[float, float]]:
    """Return the left and right edges of the columns. Lines with fewer cells than usual are ignored. The list is empty
    if the cells do not form columns.
    """
    if not run:
        return []
    cells = [cells_of(line) for line in run]
    usual = Counter(len(row) for row in cells if len(row) > 1).most_common(1)
    if not usual:
        return []
    spans = sorted((cell.left, cell.right) for row in cells if len(row) >= usual[0][0] for cell in row)
    columns: list[tuple[float, float]] = []
    for left, right in spans:
        if columns and left < columns[-1][1]:
            columns[-1] = (columns[-1][0], max(columns[-1][1], right))
        else:
            columns.append((left, right))
    return columns if len(columns) >= usual[0][0] - 1 else []


def rows_of(run: Sequence[TextLine], columns: Sequence[tuple[float, float]]) -> list[list[str]]:
    rows: list[list[str]] = []
    bottom = 0.0
    for line in run:
        row = _row(line.words, columns)
        close = rows and line.top - bottom < CLOSE * line.height
        if close and not row[0] and rows[-1][0]:
            rows[-1] = [f"{above} {below}".strip() for above, below in zip(rows[-1], row, strict=True)]
        else:
            rows.append(row)
        bottom = line.bottom
    return rows


def _row(words: Sequence[PageWord], columns: Sequence[tuple[float, float]]) -> list[str]:
    """Return the texts of a row, one for each column. Words without a wide gap between them go into the nearest column
    together.
    """
    row: list[list[str]] = [[] for _ in columns]
    for cell in cells_of(TextLine(tuple(words))) if words else []:
        middle = (cell.left + cell.right) / 2
        near = [abs(middle - min(max(middle, left), right)) + _apart(cell, left, right) for left, right in columns]
        row[near.index(min(near))].append(cell.text)
    return [" ".join(cell) for cell in row]


def _apart(cell: TextLine, left: float, right: float) -> float:
    """Return how much of the width of a cell lies outside a column, in points."""
    return max(0.0, (cell.right - cell.left) - max(0.0, min(cell.right, right) - max(cell.left, left)))


def ruled_tables(
    words: list[PageWord], across: Sequence[Rule], down: Sequence[Rule]
) -> tuple[list[TableBlock], list[PageWord]]:
    """Return the tables whose rows lie between ruled lines, and the words outside these tables."""
    tables = []
    for rules in _stacks(across)[:MOST_TABLES]:
        left, right = min(rule.first for rule in rules), max(rule.last for rule in rules)
        upright = _merged([rule.at for rule in down if _within(rule, rules, left, right)])
        edges = _merged([rule.at for rule in rules])
        if not upright:
            edges = _with_title_row(words, edges, left, right)
        inside = [
            word
            for word in words
            if edges[0] - 1 <= (word.top + word.bottom) / 2 <= edges[-1] + 1 and left - 2 <= word.left <= right + 2
        ]
        table = _ruled(inside, edges, upright)
        if table is not None:
            tables.append(table)
            gone = set(map(id, inside))
            words = [word for word in words if id(word) not in gone]
    return tables, words


def _stacks(across: Sequence[Rule]) -> list[list[Rule]]:
    """Return groups of at least three horizontal rules, which enclose at least two rows. The rules of a group lie below
    one another, overlap horizontally, and are near each other.
    """
    stacks: list[list[Rule]] = []
    for rule in sorted(across, key=lambda rule: rule.at):
        for stack in reversed(stacks[-20:]):
            last = stack[-1]
            shared = min(last.last, rule.last) - max(last.first, rule.first)
            beside = abs(rule.at - last.at) < 1.5
            if rule.at - last.at < FARTHEST_RULE and (
                beside or shared > 0.5 * min(last.last - last.first, rule.last - rule.first)
            ):
                stack.append(rule)
                break
        else:
            stacks.append([rule])
    return [stack for stack in stacks if len(_merged([rule.at for rule in stack])) >= 3]


def _merged(places: Sequence[float]) -> list[float]:
    """Return the positions in ascending order. A position that almost equals a lower one is left out."""
    merged: list[float] = []
    for place in sorted(places):
        if not merged or place - merged[-1] > 3:
            merged.append(place)
    return merged


def _within(rule: Rule, rules: Sequence[Rule], left: float, right: float) -> bool:
    shared = min(rule.last, max(rule.at for rule in rules)) - max(rule.first, min(rule.at for rule in rules))
    return left - 2 <= rule.at <= right + 2 and shared > 0


def _with_title_row(words: Sequence[PageWord], edges: list[float], left: float, right: float) -> list[float]:
    """Add an edge above a title row that stands directly above the first edge. This is for tables that have ruled lines
    only below their rows.
    """
    above = [
        word for word in words if word.bottom <= edges[0] + 2 and left - 2 <= word.left and word.right <= right + 2
    ]
    line = next(iter(reversed(lines_of(above))), None)
    if line is None or edges[0] - line.bottom > line.height or len(cells_of(line)) < 2:
        return edges
    return [line.top - 1, *edges]


def _ruled(inside: Sequence[PageWord], edges: Sequence[float], down: Sequence[float]) -> TableBlock | None:
    """Return the table between the edges, or None if the words do not form a table."""
    bands = [
        [word for word in inside if top < (word.top + word.bottom) / 2 <= bottom] for top, bottom in pairwise(edges)
    ]
    if sum(bool(band) for band in bands) < 2:
        return None
    if len(down) >= 3:
        columns = list(pairwise(down))
    else:
        columns = columns_of([line for band in bands for line in lines_of(band)])
    if not 2 <= len(columns) <= MOST_COLUMNS:
        return None
    rows = [_ruled_row(band, columns) for band in bands if band]
    if sum(sum(map(bool, row)) > 1 for row in rows) < 2:
        return None
    return TableBlock(rows, edges[0], edges[-1], ruled=True)


def _ruled_row(band: Sequence[PageWord], columns: Sequence[tuple[float, float]]) -> list[str]:
    row: list[list[PageWord]] = [[] for _ in columns]
    for word in band:
        middle = (word.left + word.right) / 2
        near = [abs(middle - min(max(middle, left), right)) for left, right in columns]
        row[near.index(min(near))].append(word)
    return [" ".join(line.text for line in lines_of(cell)) for cell in row]
