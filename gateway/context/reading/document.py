"""The result of a reader: the text, the positions of headings, pages, tables and records, and what was left out."""

from msgspec import Struct

Span = tuple[int, int]


class Heading(Struct, frozen=True):
    """A heading of level 1 (the highest) to 6, which begins at character `start` of the text."""

    start: int
    level: int
    title: str
    own_line: bool = True
    """Whether the heading's first line contains only the heading, and no text of the section."""


class Lead(Struct, frozen=True):
    """The text that chunks of a table or list repeat if they begin between `start` and `end`. For a table it is the
    caption and title row, for a list the line before it. The table or list ends at `end`."""

    start: int
    end: int
    text: str


class ReadReport(Struct, frozen=True):
    """A report on reading a file. `kind` is, for example, "PDF". `certainty` is that of the encoding, from 0 to 1.

    `left_out` has one line for each kind of loss, such as `page 2: no text, only a picture`.
    """

    kind: str = ""
    pages: int = 0
    tables: int = 0
    pictures: int = 0
    encoding: str = ""
    certainty: float = 1.0
    left_out: tuple[str, ...] = ()


class Document(Struct, frozen=True):
    """A document. `pages[i]` is the position where page i + 1 begins. It is empty for a document without pages.

    `records` are spans that must not be cut, such as rows of tables and records of JSON. Leads and records are sorted
    by position.
    """

    text: str
    headings: tuple[Heading, ...] = ()
    pages: tuple[int, ...] = ()
    leads: tuple[Lead, ...] = ()
    records: tuple[Span, ...] = ()
    report: ReadReport = ReadReport()
