"""Arranges the words of a page into lines, columns and tables. The module uses only the positions of the words and
ruled lines, and not the PDF file.
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from gateway.context.reading.formats.pdf.lines import CELL_GAP, TableBlock, TextLine, cells_of, lines_of
from gateway.context.reading.formats.pdf.tables import CLOSE, MOST_COLUMNS, columns_of, rows_of, ruled_tables
from gateway.context.reading.formats.pdf.words import PageContent

PROSE_WORDS = 4.0
PROSE_LINES = 4
SHORT = 0.75
"""A line shorter than this share of the width of its column ends a paragraph."""
CAPTION = re.compile(r"(?:Table|Tab\.|Tabelle|Tableau|Tabla|Tabela|Tabella|Таблица|表)\s*[\w.:-]", re.IGNORECASE)
STEPS = 1000
"""The number of positions across a page at which a gap between columns is searched for."""
BULLET = re.compile(r"(?:[•◦▪‣●○■–*·-]|\(?\d{1,3}[.)]|[a-z]\))$")


Block = TextLine | TableBlock


def blocks(content: PageContent) -> list[Block]:
    """Return the lines and tables of a page in reading order."""
    words = [word for word in content.words if word.text.strip()]
    tables, words = ruled_tables(words, content.across, content.down)
    placed: list[Block] = []
    bands = _bands(lines_of(words), tables)
    for band in bands:
        placed += [band] if isinstance(band, TableBlock) else _band(band)
    placed += lines_of(content.turned)
    return placed


def _bands(lines: Sequence[TextLine], tables: Sequence[TableBlock]) -> list[list[TextLine] | TableBlock]:
    """Return the ruled tables, and the groups of other lines between them, from top to bottom."""
    bands: list[list[TextLine] | TableBlock] = []
    left = list(lines)
    for table in sorted(tables, key=lambda table: table.top):
        above = [line for line in left if line.top < table.top]
        bands += [above, table] if above else [table]
        left = [line for line in left if line.top >= table.top]
    return [*bands, left] if left else bands


def _band(lines: list[TextLine]) -> list[Block]:
    """Put lines into reading order. Columns of prose are placed one after the other. Lines with aligned cells become
    tables.
    """
    gutter = _gutter(lines)
    if gutter is None:
        return _with_tables(lines)
    placed: list[Block] = []
    run: list[TextLine] = []
    for line in [*lines, None]:
        if line is not None and not _crosses(line, gutter):
            run.append(line)
            continue
        placed += _columns(run, gutter)
        run = []
        if line is not None:
            placed.append(line)
    return placed


def _gutter(lines: Sequence[TextLine]) -> float | None:
    """Return the x position of the gap between two columns of prose. The result is None if the lines form one column or
    a table.
    """
    gaps = Counter[int]()
    step = max(1.0, (max(line.right for line in lines) - min(line.left for line in lines)) / STEPS) if lines else 1.0
    for line in lines:
        for left, right in pairwise(cells_of(line)[:MOST_COLUMNS]):
            gaps.update(range(int(left.right / step) + 1, int(right.left / step) + 1))
    if not gaps:
        return None
    most = max(gaps.values())
    if most < PROSE_LINES:
        return None
    widest = [place for place, count in gaps.items() if count == most]
    gutter = median(widest) * step
    parts = [part for line in lines if not _crosses(line, gutter) for part in _sides(line, gutter)]
    sides = [[part for part in parts if (part.left > gutter) == right] for right in (False, True)]
    return gutter if all(_is_prose(side) for side in sides) else None


def _is_prose(side: Sequence[TextLine]) -> bool:
    """Whether a column is prose. The lines of the column must have several words on average, and most of the lines must
    have no wide gap.
    """
    if len(side) < PROSE_LINES:
        return False
    return sum(len(line.words) for line in side) / len(side) >= PROSE_WORDS and sum(
        len(cells_of(line)) == 1 for line in side
    ) > 0.7 * len(side)


def _crosses(line: TextLine, gutter: float) -> bool:
    return any(word.left < gutter < word.right for word in line.words) or any(
        first.right < gutter < second.left and second.left - first.right <= CELL_GAP * line.height
        for first, second in pairwise(line.words)
    )


def _sides(line: TextLine, gutter: float) -> list[TextLine]:
    left = tuple(word for word in line.words if word.right <= gutter)
    right = tuple(word for word in line.words if word.right > gutter)
    return [TextLine(part) for part in (left, right) if part]


def _columns(run: Sequence[TextLine], gutter: float) -> list[Block]:
    words = [word for line in run for word in line.words]
    left = lines_of([word for word in words if word.right <= gutter])
    right = lines_of([word for word in words if word.right > gutter])
    return [block for side in (left, right) if side for block in _band(side)]


def _with_tables(lines: Sequence[TextLine]) -> list[Block]:
    """Return the lines, with a table in place of each group of successive lines that have aligned cells."""
    placed: list[Block] = []
    run: list[TextLine] = []
    for line in [*lines, None]:
        if line is not None and (len(cells_of(line)) > 1 or (run and _continues(run, line))):
            run.append(line)
            continue
        placed += _table_or_lines(run)
        run = []
        if line is not None:
            placed.append(line)
    return placed


def _continues(run: Sequence[TextLine], line: TextLine) -> bool:
    """Whether a line with a single cell continues the row above it. The line must be close below that row, and within
    one of the row's cells after the first.
    """
    above = run[-1]
    if line.top - above.bottom > CLOSE * line.height or len(cells_of(above)) < 2:
        return False
    return any(cell.left - 2 <= line.left and line.right <= cell.right + 40 for cell in cells_of(above)[1:])


def _table_or_lines(run: list[TextLine]) -> list[Block]:
    end = len(run)
    while end and len(cells_of(run[end - 1])) < 2:
        end -= 1
    columns = columns_of(run[:end])
    if end < 3 or not 2 <= len(columns) <= MOST_COLUMNS:
        return list(run)
    return [TableBlock(rows_of(run[:end], columns), run[0].top, run[end - 1].bottom), *run[end:]]
