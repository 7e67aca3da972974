"""Keeps a payload only where it is beyond doubt: quoted, in a code fence, or the line that ends the query.

A template that writes instruction and payload apart must not cut a sentence, nor take what the user asks after the
text for a part of the text. Where there is doubt, the whole query goes in.
"""

import re

from gateway.prompt.language.literals import QUOTED, fences
from gateway.split import Split, TextSpan

_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»", "「": "」", "『": "』"}
_SENTENCE_ENDS = ".!?。！？:："
_AFTER_QUOTE = re.compile(r"\s*(?:[.!?。！？]\s*|\n\s*|\Z)")


def certain(parts: Split) -> Split:
    """The split, or the query as a whole where its payload is in doubt."""
    span = parts.payload
    if span is None or _is_fenced(parts.query, span) or _is_quoted(parts.query, span) or _is_last_line(parts):
        return parts
    return Split(parts.query, _whole(parts.query))


def _is_fenced(query: str, span: TextSpan) -> bool:
    """The only code block. Two of them have words between them."""
    blocks = fences(query)
    return len(blocks) == 1 and blocks[0].body_start <= span.start and span.end <= blocks[0].body_end


def _is_quoted(query: str, span: TextSpan) -> bool:
    """Whether the span is the only quotation and ends its sentence, unlike in `how do you say "hello" in Dutch`."""
    opening, closing = query[span.start - 1 : span.start], query[span.end : span.end + 1]
    if not opening or _QUOTES.get(opening) != closing or len(list(QUOTED.finditer(query))) != 1:
        return False
    if query.count('"') % 2:
        return False
    ends = query[span.end - 1] in _SENTENCE_ENDS and query[span.end + 1 : span.end + 2] in (" ", "\n", "")
    return ends or _AFTER_QUOTE.match(query, span.end + 1) is not None


def _is_last_line(parts: Split) -> bool:
    """One line that follows the instruction's line, with nothing behind it."""
    query, span = parts.query, parts.payload
    assert span is not None
    before = query[: span.start].rstrip(" \t")
    alone = before.endswith("\n") and not query[span.end :].strip()
    return alone and "\n" not in query[span.start : span.end] and bool(before.strip())


def _whole(query: str) -> tuple[TextSpan, ...]:
    text = query.strip()
    start = len(query) - len(query.lstrip())
    return (TextSpan(start, start + len(text)),) if text else ()
