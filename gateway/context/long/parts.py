"""Cuts a long text into parts that fit a window, between paragraphs or between sentences."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from gateway.context.reading.chunk import Cut, chunk
from gateway.context.reading.document import Document
from gateway.context.tables.documents import documents_in
from gateway.context.tables.figures import lead_at, leads_in
from gateway.exchange import Chunk

Count = Callable[[str], int]

PIECES = 10
"""A part consists of about this many pieces, so that its end is near the end of a paragraph or a sentence."""
MESSAGE = "message"
PREVIEWED = "[a model reads this part first]"
"""Stands for the result of a part in a preview, where no model is called."""


def pieces(text: str, tokens: int, count: Count) -> list[Chunk]:
    """Split the text into spans of at most `tokens` tokens each. Blocking."""
    return chunk(Document(text), "", MESSAGE, count, Cut(max(16, tokens), strict=True), tokens)


def parts(text: str, tokens: int, count: Count) -> list[Chunk]:
    """Split the text into as few parts as possible. A part has whole pieces, and at most `tokens` tokens. Blocking."""
    filled: list[list[Chunk]] = []
    used = tokens
    for piece in pieces(text, tokens // PIECES, count):
        if used + piece.tokens > tokens:
            filled.append([])
            used = 0
        filled[-1].append(piece)
        used += piece.tokens
    return [_joined(text, group) for group in filled]


def parts_of_documents(text: str, tokens: int, count: Count) -> list[Chunk]:
    """Return the parts of all documents of a text. No part contains text of two documents. The source of a part is the
    title of its document. Blocking.
    """
    found = []
    leads = leads_in(text)
    lead_tokens = max((count(lead.text) for lead in leads), default=0)
    for document in documents_in(text):
        for part in parts(text[document.start : document.end], max(16, tokens - lead_tokens), count):
            start, end = part.start + document.start, part.end + document.start
            lead = lead_at(leads, start)
            if lead:
                part = replace(part, text=f"{lead}\n{part.text}", tokens=part.tokens + count(lead))
            found.append(replace(part, start=start, end=end, source=document.title or MESSAGE))
    return found


def _joined(text: str, group: Sequence[Chunk]) -> Chunk:
    start, end = group[0].start, group[-1].end
    tokens = sum(piece.tokens for piece in group)
    return Chunk(group[0].id, "", MESSAGE, text[start:end], start, end, heading=group[0].heading, tokens=tokens)
