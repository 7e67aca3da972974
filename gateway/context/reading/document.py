"""The result of a reader: the text, the places of headings, pages, tables and records, and the omissions."""

from msgspec import Struct

Span = tuple[int, int]


class Heading(Struct, frozen=True):
    """A heading of level 1 (the highest) to 6, beginning at character `start` of the text."""

    start: int
    level: int
    title: str
    own_line: bool = True
    """Whether its first line is the heading alone, and no text of the section."""


class Lead(Struct, frozen=True):
    """What a chunk that begins in a table or list, at `start` or behind it, repeats: caption and title row, or the
    line ahead of the list. The table or list ends at `end`."""

    start: int
    end: int
    text: str


class ReadReport(Struct, frozen=True):
    """The result of reading a file. `kind`: for example "PDF"; `certainty`: of the encoding, from 0 to 1.

    `left_out` holds one line for each kind of loss, such as `page 2: no text, only a picture`.
    """

    kind: str = ""
    pages: int = 0
    tables: int = 0
    pictures: int = 0
    encoding: str = ""
    certainty: float = 1.0
    left_out: tuple[str, ...] = ()


class Document(Struct, frozen=True):
    """`pages[i]` is the position where page i + 1 begins; empty if there are no pages.

    `records` are spans that must not be cut: rows of tables, records of JSON. Leads and records are in order.
    """

    text: str
    headings: tuple[Heading, ...] = ()
    pages: tuple[int, ...] = ()
    leads: tuple[Lead, ...] = ()
    records: tuple[Span, ...] = ()
    report: ReadReport = ReadReport()
