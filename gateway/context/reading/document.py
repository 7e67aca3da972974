"""What a reader returns: the text, the places of headings, pages, tables and records, and what was left out."""

from msgspec import Struct

Span = tuple[int, int]


class Heading(Struct, frozen=True):
    """A heading of level 1 (the highest) to 6, which begins at character `start` of the text."""

    start: int
    level: int
    title: str
    own_line: bool = True
    """Whether the first line of the heading contains only the heading, and no text of the section."""


class Lead(Struct, frozen=True):
    """The text that a chunk of a table or list repeats if the chunk begins between `start` and `end`.

    For a table, this is the caption and the title row; for a list, the line before it. The table or list ends at `end`.
    """

    start: int
    end: int
    text: str


class ReadReport(Struct, frozen=True):
    """The report on reading a file. `kind` is the format, such as "PDF". `certainty` is the certainty of the encoding,
    from 0 to 1.

    `left_out` has a line for each kind of loss, such as `page 2: no text, only a picture`.
    """

    kind: str = ""
    pages: int = 0
    tables: int = 0
    pictures: int = 0
    encoding: str = ""
    certainty: float = 1.0
    left_out: tuple[str, ...] = ()
    recognised: int = 0
    """The number of pages and pictures whose text was recognised in a picture."""


class Document(Struct, frozen=True):
    """A document. Page i + 1 begins at `pages[i]`. `pages` is empty for a document without pages.

    `records` are spans that must stay whole, such as rows of tables and records of JSON. Leads and records are sorted
    by position.
    """

    text: str
    headings: tuple[Heading, ...] = ()
    pages: tuple[int, ...] = ()
    leads: tuple[Lead, ...] = ()
    records: tuple[Span, ...] = ()
    report: ReadReport = ReadReport()
