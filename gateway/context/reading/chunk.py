"""Cuts documents into chunks along their structure: sections, paragraphs, lines, sentences, words.

A chunk is a span of the document: its text is `document.text[chunk.start:chunk.end]`. If a chunk begins inside a table
or a list, the table's caption and title row, or the line before the list, is put before its text.

A chunk is never longer than the embedder's window, since no search would find the rest. Only a row of a table or a
record may be longer. Such a row or record stays whole, and its vector is the mean of the vectors of its parts.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from msgspec import Struct

from gateway.context.reading.document import Document, Lead
from gateway.context.reading.text_spans import Count, Span, fits, overlapping, split, stripped
from gateway.exchange import Chunk

VERSION = 5
"""The version of the cutting. Increase it after a change, so that files are cut again when they are added again."""

SPECIAL_TOKENS = 4
"""The number of tokens that the model adds to a text (two for BERT), with a margin for joining heading and text."""


JOINED = 0.64
"""Short neighbouring parts are joined up to this share of the limit. A single paragraph or sentence may use the whole
limit.

If a prompt has a fixed number of tokens for passages, a search with shorter chunks finds more.
"""

LEAD_SHARE = 3
"""The repeated head of a table or list takes at most a chunk's length divided by this number."""
WHOLE_RECORD = 4
"""A record is cut only if it is longer than this many times the limit."""


class Cut(Struct, frozen=True):
    """How documents are cut, with lengths in tokens. With `strict`, chunks are filled to the limit even if the embedder
    cannot read that much at once.
    """

    limit: int = 200
    overlap: int = 0
    strict: bool = False


def chunk(document: Document, collection: str, source: str, count: Count, cut: Cut, window: int) -> list[Chunk]:
    """Cut a document into chunks of at most `cut.limit` tokens, as `count` counts them.

    `window` is the embedder's window in tokens. Unless the cut is strict, a chunk's heading path and text together fit
    this window.
    """
    chunks = []
    for (start, end), path in _sections(document):
        heading = _shortened(path, count, window // 4)
        fitting = cut.limit if cut.strict else window - SPECIAL_TOKENS - count(heading)
        room = max(1, min(cut.limit, fitting))
        joined = room if cut.strict else max(1, int(JOINED * room))
        section = _Section(document, start, end, count, room, joined, room if cut.strict else WHOLE_RECORD * room)
        spans = section.spans()
        if cut.overlap and len(spans) > 1:
            size = max(1, room - section.longest_lead)
            spans = overlapping(document.text, start, end, count, size, min(cut.overlap, size // 2))
        for first, last in spans:
            text = section.lead(first) + document.text[first:last]
            chunks.append(
                Chunk(
                    id=chunk_id(collection, source, first, last, text),
                    collection=collection,
                    source=source,
                    text=text,
                    start=first,
                    end=last,
                    heading=heading,
                    page=bisect_right(document.pages, first),
                    tokens=count(text),
                )
            )
    return chunks


def lead_length(chunk: Chunk) -> int:
    """Return the length of the repeated head of a table or list at the start of a chunk, in characters."""
    span = chunk.end - chunk.start
    return max(0, len(chunk.text) - span) if span > 0 else 0


class _Section:
    """Cuts one section of a document into spans. Tables and lists are cut separately from the text around them."""

    def __init__(
        self, document: Document, start: int, end: int, count: Count, room: int, joined: int, whole: int
    ) -> None:
        """Limits are in tokens: `room` for a span, `joined` for short neighbours together, `whole` for a record."""
        self._text = document.text
        self._span = (start, end)
        self._count = count
        self._room, self._joined, self._whole = room, joined, whole
        first = bisect_left(document.leads, start, key=lambda lead: lead.start)
        last = bisect_left(document.leads, end, key=lambda lead: lead.start)
        self._leads = [_fitting(lead, count, room // LEAD_SHARE) for lead in document.leads[first:last]]
        self._heads = [_head(self._text, lead) for lead in document.leads[first:last]]
        self._starts = [lead.start for lead in self._leads]
        first = bisect_left(document.headings, start, key=lambda heading: heading.start)
        last = bisect_left(document.headings, end, key=lambda heading: heading.start)
        self._headings = document.headings[first:last]
        first = bisect_left(document.records, (start, 0))
        self._records = document.records[first : bisect_left(document.records, (end, 0))]

    @property
    def longest_lead(self) -> int:
        """The length of the longest repeated head in tokens."""
        return max((self._count(lead.text) for lead in self._leads), default=0)

    def lead(self, first: int) -> str:
        """Return the head that a chunk beginning at `first` repeats before its own text, or "" if there is none."""
        for place in range(bisect_right(self._starts, first) - 1, -1, -1):
            lead = self._leads[place]
            if first < lead.end:
                return f"{lead.text}\n" if lead.text else ""
            if place < bisect_right(self._starts, first) - MOST_NESTED:
                break
        return ""

    def spans(self) -> list[Span]:
        start, end = stripped(self._text, *self._span)
        if fits(self._text[start:end], self._count, self._joined):
            return [(start, end)] if start < end else []
        if not self._leads and not self._records:
            return split(self._text, start, end, self._count, self._room, self._joined)
        spans: list[Span] = []
        at = start
        for lead, head in zip(self._leads, self._heads, strict=True):
            if lead.start < at:
                continue
            head = max(at, head)
            spans += self._cut(at, head, self._room)
            room = self._room - self._tokens(lead.start)
            rows = self._with_last_row(self._cut(lead.start, lead.end, room), room)
            spans += [(head, rows[0][1]), *rows[1:]] if rows else []
            at = lead.end
        spans += self._cut(at, end, self._room)
        return self._packed(self._with_heading(spans))

    def _with_heading(self, spans: list[Span]) -> list[Span]:
        """Join a span that consists only of headings with the text below it. Such a chunk would answer nothing, and
        would rank first for each question that names the heading.
        """
        if len(spans) < 2 or not self._is_heading(*spans[0]):
            return spans
        both = (spans[0][0], spans[1][1])
        return [both, *spans[2:]] if fits(self._text[slice(*both)], self._count, self._room) else spans

    def _is_heading(self, start: int, end: int) -> bool:
        """Whether a span has no line but headings, or is the only line before the text of a section with a heading."""
        lines = [line for line in self._text[start:end].split("\n") if line.strip()]
        headings = sum(start <= heading.start < end and heading.own_line for heading in self._headings)
        return len(lines) <= max(headings, 1 if self._headings else 0)

    def _with_last_row(self, spans: list[Span], room: int) -> list[Span]:
        """Join a short last part of a table with the part before it, if both fit. A chunk of one row, with the titles
        of all columns, would have too high a score.
        """
        if len(spans) < 2 or not fits(self._text[slice(*spans[-1])], self._count, self._joined // 2):
            return spans
        both = (spans[-2][0], spans[-1][1])
        return [*spans[:-2], both] if fits(self._text[slice(*both)], self._count, room) else spans

    def _tokens(self, first: int) -> int:
        lead = self.lead(first)
        return self._count(lead) if lead else 0

    def _cut(self, start: int, end: int, room: int) -> list[Span]:
        """Cut a part into spans. Records stay whole unless they are very long."""
        room = max(1, room)
        joined = min(self._joined, room)
        first = bisect_left(self._records, (start, 0))
        spans: list[Span] = []
        at = start
        for record in self._records[first : bisect_left(self._records, (end, 0))]:
            spans += split(self._text, at, record[0], self._count, room, joined)
            if fits(self._text[slice(*record)], self._count, max(room, self._whole)):
                spans.append(record)
            else:
                spans += split(self._text, *record, self._count, room, joined)
            at = record[1]
        return self._packed([*spans, *split(self._text, at, end, self._count, room, joined)])

    def _packed(self, spans: list[Span]) -> list[Span]:
        """Join neighbouring spans if the joined span fits, including the head that its first span repeats."""
        packed: list[Span] = []
        room = self._joined
        for start, end in spans:
            if packed and fits(self._text[packed[-1][0] : end], self._count, room):
                packed[-1] = (packed[-1][0], end)
            else:
                packed.append((start, end))
                room = self._joined - self._tokens(start)
        return packed


MOST_NESTED = 8
"""To find the head that applies to a position, at most this many heads before the position are examined. In a nested
list, several tables or lists may enclose the position.
"""


def _fitting(lead: Lead, count: Count, room: int) -> Lead:
    """Shorten a lead to at most `room` tokens. Lines are dropped from the first one on, since the last line is the
    title row.
    """
    text = lead.text
    while text and not fits(text, count, room):
        text = text.partition("\n")[2] if "\n" in text else text[: len(text) // 2].rstrip(" |")
    return Lead(lead.start, lead.end, text)


def _head(text: str, lead: Lead) -> int:
    """Return the position of the head that stands directly before a table or list. Without such a head, return the
    position of the table or list.
    """
    place = text.rfind(lead.text, max(0, lead.start - len(lead.text) - 4), lead.start)
    return place if place >= 0 and not text[place + len(lead.text) : lead.start].strip() else lead.start


def within(text: str, count: Count, window: int) -> list[str]:
    """Split the text into parts that fit the embedder's window. A short text stays one part."""
    room = max(1, window - SPECIAL_TOKENS)
    return [text[start:end] for start, end in split(text, 0, len(text), count, room, room)] or [text]


def chunk_id(collection: str, source: str, start: int, end: int, text: str) -> str:
    """Return the id of a chunk. The same chunk of the same document always has the same id."""
    parts = "\0".join((collection, source, str(start), str(end), text))
    return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _sections(document: Document) -> Iterator[tuple[Span, tuple[str, ...]]]:
    """Yield the sections between headings as (span, heading path). A heading without text is joined with the next
    section.
    """
    text = document.text
    path: list[tuple[int, str]] = []
    start = 0
    body = 0  # where the text under the last heading starts
    for heading in document.headings:
        if text[body : heading.start].strip():
            yield (start, heading.start), tuple(title for _, title in path)
            start = heading.start
        body = (text.find("\n", heading.start) + 1 or len(text)) if heading.own_line else heading.start
        path = [*((level, title) for level, title in path if level < heading.level), (heading.level, heading.title)]
    if text[start:].strip():
        yield (start, len(text)), tuple(title for _, title in path)


def _shortened(path: tuple[str, ...], count: Count, room: int) -> str:
    """Shorten a heading path to at most `room` tokens. The nearest heading is dropped last."""
    while len(path) > 1 and not fits(" > ".join(path), count, room):
        path = path[1:]
    heading = " > ".join(path)
    while heading and not fits(heading, count, room):
        heading = heading[: len(heading) // 2].rstrip()
    return heading
