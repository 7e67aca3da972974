"""Sorts the rows of a table without a model. This is done only if a task plainly asks for it, and names one column of
numbers or ISO dates.
"""

import re
from decimal import Decimal

from gateway.context.long.wording import WORDINGS
from gateway.context.tables.figures import TextTable, number_in

_ISO_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}(?:[T ][\d:.]+Z?)?$")


def sorted_rows(block: str, table: TextTable, task: str) -> str | None:
    """Return the text of a table with its rows sorted as the task says. The lines themselves are not changed.

    `block` is the text of the table. The result is None if the task does not say plainly how to sort.
    """
    if not any(words.speaks_of_sorting.search(task) for words in WORDINGS.values()):
        return None
    named = [place for place, name in enumerate(table.columns) if _names(task, name)]
    lines = [line for line in block.strip("\n").split("\n") if line.strip()]
    head = lines[: len(lines) - len(table.rows)]
    body = lines[len(head) :]
    if len(named) != 1 or not head or len(body) != len(table.rows):
        return None
    keys = [_key(row[named[0]]) for row in table.rows]
    if any(key is None for key in keys) or len({type(key) for key in keys}) > 1:
        return None
    falls = any(words.speaks_of_falling.search(task) for words in WORDINGS.values())
    order = sorted(range(len(body)), key=lambda place: keys[place], reverse=falls)  # type: ignore[arg-type,return-value]
    return "\n".join([*head, *(body[place] for place in order)])


def _names(task: str, column: str) -> bool:
    """Whether the task names a column. In a language with spaces, the name must be a whole word."""
    edge = r"\b" if column.isascii() else ""
    return re.search(rf"{edge}{re.escape(column.strip())}{edge}", task, re.IGNORECASE) is not None


def _key(cell: str) -> Decimal | str | None:
    if _ISO_DATE.match(cell.strip()):
        return cell.strip()
    return number_in(cell)
