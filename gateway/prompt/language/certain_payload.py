"""Separates a payload whose boundaries are certain: in quotes, in a code fence, or on the last line of the query.

Some templates write instruction and payload in two places. Such a template must not cut a sentence, or treat a question
after the text as part of the text. If the payload is uncertain, the template gets the whole query.
"""

import re

from gateway.prompt.language.literals import QUOTED, fences
from gateway.split import Split, TextSpan

_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»", "「": "」", "『": "』"}
_SENTENCE_ENDS = ".!?。！？:："
_AFTER_QUOTE = re.compile(r"\s*(?:[.!?。！？]\s*|\n\s*|\Z)")


def certain(parts: Split) -> Split:
    """Return the split if its payload is certain. Otherwise return a split whose instruction is the whole query."""
    span = parts.payload
    if span is None or _is_fenced(parts.query, span) or _is_quoted(parts.query, span) or _is_last_line(parts):
        return parts
    return Split(parts.query, _whole(parts.query))


def only_text(parts: Split) -> TextSpan | None:
    """Return the text that the query is about. Return None if the text is uncertain or occurs more than once in the
    query.
    """
    span = certain(parts).payload
    return span if span and parts.query.count(parts.query[span.start : span.end]) == 1 else None


def _is_fenced(query: str, span: TextSpan) -> bool:
    """Return whether the span is the only code block. With two blocks, the span would include the words between
    them.
    """
    blocks = fences(query)
    return len(blocks) == 1 and blocks[0].body_start <= span.start and span.end <= blocks[0].body_end


def _is_quoted(query: str, span: TextSpan) -> bool:
    """Return whether the span is the only quotation and ends its sentence. In `how do you say "hello" in Dutch` the
    quotation does not end the sentence.
    """
    opening, closing = query[span.start - 1 : span.start], query[span.end : span.end + 1]
    if not opening or _QUOTES.get(opening) != closing or len(list(QUOTED.finditer(query))) != 1:
        return False
    if query.count('"') % 2:
        return False
    ends = query[span.end - 1] in _SENTENCE_ENDS and query[span.end + 1 : span.end + 2] in (" ", "\n", "")
    return ends or _AFTER_QUOTE.match(query, span.end + 1) is not None


def _is_last_line(parts: Split) -> bool:
    """Return whether the payload is one line, after the instruction and at the end of the query."""
    query, span = parts.query, parts.payload
    assert span is not None
    before = query[: span.start].rstrip(" \t")
    alone = before.endswith("\n") and not query[span.end :].strip()
    return alone and "\n" not in query[span.start : span.end] and bool(before.strip())


def _whole(query: str) -> tuple[TextSpan, ...]:
    text = query.strip()
    start = len(query) - len(query.lstrip())
    return (TextSpan(start, start + len(text)),) if text else ()
