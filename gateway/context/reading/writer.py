"""Builds the document of a file. Readers use it to write paragraphs, headings, tables and records."""

from msgspec.structs import replace

from gateway.context.reading.document import Document, Heading, Lead, ReadReport, Span
from gateway.context.reading.table import Table

MOST_LINES = 50
"""The maximum number of lines about omissions. If there are more, the last line says how many omissions are not listed.
"""


class DocumentWriter:
    """Builds a document, with an empty line between blocks. All positions refer to the finished text."""

    def __init__(self) -> None:
        self.gap = ""
        self._parts: list[str] = []
        self._length = 0
        self._headings: list[Heading] = []
        self._pages: list[int] = []
        self._leads: list[Lead] = []
        self._records: list[Span] = []
        self._tables = 0
        self._pictures = 0
        self._recognised = 0
        self._left_out: dict[str, int] = {}

    @property
    def length(self) -> int:
        return self._length

    @property
    def start(self) -> int:
        """The position at which the next text will begin."""
        return self._length + len(self.gap) if self._length else 0

    def write(self, text: str) -> None:
        """Write text unchanged, after the pending gap."""
        if not text:
            return
        if self.gap and self._length:
            self._append(self.gap)
        self.gap = ""
        self._append(text)

    def words(self, text: str) -> None:
        """Write inline text. White space at either end becomes a gap of at most one space."""
        if text[:1].isspace():
            self.gap = self.gap or " "
        self.write(" ".join(text.split()))
        if text[-1:].isspace() and text.strip():
            self.gap = " "

    def block(self, gap: str = "\n\n") -> None:
        """Put a gap before the next text. If a gap is already pending, the larger of the two is used."""
        self.gap = max(self.gap, gap, key=lambda mark: mark.count("\n"))

    def paragraph(self, text: str, gap: str = "\n\n") -> None:
        if text.strip():
            self.block(gap)
            self.write(text.strip())
            self.block(gap)

    def heading(self, level: int, title: str) -> None:
        title = " ".join(title.split())
        if title:
            self.block()
            self._headings.append(Heading(self.start, min(max(level, 1), 6), title))
            self.write(title)
            self.block()

    def page(self) -> None:
        """Begin a new page, slide or sheet. The next text is the first on it."""
        self.block()
        self._pages.append(self.start)

    def record(self, text: str, gap: str = "\n") -> None:
        """Write a record, which is text that stays whole."""
        if text.strip():
            self.block(gap)
            start = self.start
            self.write(text.strip())
            self._records.append((start, self._length))
            self.block(gap)

    def table(self, table: Table) -> None:
        if not table.rows:
            return
        self._tables += 1
        self.block()
        if table.head:
            self.write(table.head)
            self.block("\n")
        start = self.start
        for row in table.records:
            self.record(row)
        if table.lead:
            self._leads.append(Lead(start, self._length, table.lead))
        self.block()

    def lead(self, start: int, text: str) -> None:
        """Repeat the text in each chunk that begins between `start` and the current position."""
        if start < self._length and text:
            self._leads.append(Lead(start, self._length, text))

    def picture(self, description: str = "") -> None:
        """Count a picture. If the picture has a description, write it."""
        self._pictures += 1
        if description.strip():
            self.paragraph(f"[Picture: {' '.join(description.split())}]")

    def recognised(self) -> None:
        """Count a page or a picture whose text was recognised."""
        self._recognised += 1

    def leave_out(self, what: str) -> None:
        """Report an omission. An omission that is reported several times gets a single line, which says how often it
        was reported.
        """
        self._left_out[what] = self._left_out.get(what, 0) + 1

    def append(self, document: Document, level: int = 0) -> None:
        """Write another document. Its headings become `level` levels deeper, and its pages are not counted."""
        if not document.text.strip():
            return
        self.block()
        start = self.start
        self.write(document.text.rstrip())
        for heading in document.headings:
            deeper = min(heading.level + level, 6)
            self._headings.append(replace(heading, start=heading.start + start, level=deeper))
        self._leads += [Lead(lead.start + start, lead.end + start, lead.text) for lead in document.leads]
        self._records += [(first + start, last + start) for first, last in document.records]
        self._tables += document.report.tables
        self._pictures += document.report.pictures
        self._recognised += document.report.recognised
        for what in document.report.left_out:
            self.leave_out(what)
        self.block()

    def document(self, kind: str = "", encoding: str = "", certainty: float = 1.0) -> Document:
        report = ReadReport(
            kind,
            len(self._pages),
            self._tables,
            self._pictures,
            encoding,
            certainty,
            left_out(self._left_out),
            self._recognised,
        )
        leads = tuple(sorted(self._leads, key=lambda lead: lead.start))
        parts = "".join(self._parts), tuple(self._headings), tuple(self._pages), leads, tuple(self._records)
        return Document(*parts, report)

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)


def left_out(counts: dict[str, int]) -> tuple[str, ...]:
    """Return a line for each kind of omission. If the omission occurred several times, the line says how often."""
    lines = [what if count == 1 else f"{what} ({count} times)" for what, count in counts.items()]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], f"and {len(lines) - MOST_LINES + 1} more"]
    return tuple(lines)
