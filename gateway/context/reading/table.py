"""Writes a table as text, with one line for each row. The caption and the title rows are kept apart, since each chunk
of a long table repeats them.
"""

import re
from collections.abc import Collection, Sequence
from functools import cached_property

NUMBER = re.compile(r"[-+(]?[$€£¥]?\s?\d[\d\s.,:/\-]*(?:[%€$£¥)]|\s?[A-Za-z]{1,4})?")
YEAR = re.compile(r"(?:19|20)\d\d")
LONGEST_NUMBER = 40
WIDE_COLUMNS = 8
WIDE_CHARACTERS = 400
"""If the title row and an average row together have more characters than this, each value is written beside its title.
A chunk holds only a few such rows.
"""
LONGEST_TITLE = 80
MOST_TITLE_ROWS = 3
CELL = " | "


class Table:
    """A table. `titles` is the number of title rows. With None, the title rows are detected. `tied` holds the indices
    of rows that belong to the row above, for example because a cell spans both rows.
    """

    def __init__(
        self,
        rows: Sequence[Sequence[str]],
        caption: str = "",
        titles: int | None = None,
        tied: Collection[int] = (),
    ) -> None:
        filled = [(number, [" ".join(cell.split()) for cell in row]) for number, row in enumerate(rows)]
        filled = [(number, row) for number, row in filled if any(row)]
        self.rows = _without_empty_columns([row for _, row in filled])
        self._tied = {place for place, (number, _) in enumerate(filled) if number in set(tied)}
        captions = 0 if titles else _caption_rows(self.rows)
        self.caption = "\n".join([*filter(None, [caption.strip()]), *map(_line, self.rows[:captions])])
        self._first = captions
        looks = title_rows(self.rows[captions:]) if titles is None else min(titles, len(self.rows) - 1)
        self._titles = self.rows[captions : captions + max(looks, 0)]

    @property
    def body(self) -> list[list[str]]:
        return self.rows[self._first + len(self._titles) :]

    @cached_property
    def wide(self) -> bool:
        """Whether each value is written beside its title."""
        if not self._titles or not self.body:
            return False
        row = sum(map(len, map(_line, self.body))) / len(self.body)
        return len(self._titles[-1]) > WIDE_COLUMNS or len(_line(self._titles[-1])) + row > WIDE_CHARACTERS

    @property
    def head(self) -> str:
        """The text above the rows: the caption and the title rows. If `wide` is true, the title rows are left out."""
        titles = [] if self.wide else map(_line, self._titles)
        return "\n".join(filter(None, [self.caption, *titles]))

    @property
    def lead(self) -> str:
        """The text that each chunk of the table repeats."""
        return self.head

    @property
    def records(self) -> list[str]:
        """The rows as text. A row and the rows that are tied to it form one record."""
        write = self._titled if self.wide else _line
        records: list[str] = []
        for place, row in enumerate(self.body, self._first + len(self._titles)):
            if place in self._tied and records:
                records[-1] += "\n" + write(row)
            else:
                records.append(write(row))
        return records

    def _titled(self, row: Sequence[str]) -> str:
        names = self._names
        pairs = zip([*names, *[""] * (len(row) - len(names))], row, strict=False)
        return CELL.join(f"{name}: {cell}" if name else cell for name, cell in pairs if cell)

    @cached_property
    def _names(self) -> list[str]:
        """The title of each column. A title that spans several columns is put before the title of each of these
        columns.
        """
        width = max(map(len, self._titles))
        names = [""] * width
        for number, row in enumerate(self._titles):
            above = ""
            for column in range(width):
                cell = row[column] if column < len(row) else ""
                last = number == len(self._titles) - 1
                above = cell or ("" if last else above)
                names[column] = f"{names[column]} {above}".strip()
        return names


def title_rows(rows: Sequence[Sequence[str]]) -> int:
    """Return the number of title rows, from 0 to 2. There are two if a cell of the first row spans several cells of the
    second row.
    """
    if len(rows) < 2 or len(rows[0]) < 2 or not _names_columns(rows[0]):
        return 0
    above, below = (sum(map(bool, row)) for row in rows[:2])
    spans = above < len(rows[0]) and len(rows) > 2 and above < below
    return 2 if spans and _names_columns(rows[1]) else 1


def _names_columns(row: Sequence[str]) -> bool:
    """Whether a row may hold the titles of the columns. All cells must be short, and no cell may be a number. Years are
    allowed after the first cell.
    """
    if not any(row) or (YEAR.fullmatch(row[0]) and len(row) > 1):
        return False
    return all(len(cell) <= LONGEST_TITLE and (YEAR.fullmatch(cell) or not _is_number(cell)) for cell in row)


def _is_number(cell: str) -> bool:
    return len(cell) <= LONGEST_NUMBER and NUMBER.fullmatch(cell) is not None


def _caption_rows(rows: Sequence[Sequence[str]]) -> int:
    """Return the number of rows with a single filled cell that stand above the titles, such as the title of a sheet."""
    count = 0
    while count < min(MOST_TITLE_ROWS, len(rows) - 2) and len(rows[count]) > 1 and sum(map(bool, rows[count])) == 1:
        count += 1
    return count


def _line(row: Sequence[str]) -> str:
    return CELL.join(row).rstrip(" |")


def _without_empty_columns(rows: list[list[str]]) -> list[list[str]]:
    width = max(map(len, rows), default=0)
    used = [column for column in range(width) if any(column < len(row) and row[column] for row in rows)]
    if len(used) == width:
        return [[*row, *[""] * (width - len(row))] for row in rows]
    return [[row[column] if column < len(row) else "" for column in used] for row in rows]
