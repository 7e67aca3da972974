"""The rules that find a payload by its quotation marks."""

import re
from collections.abc import Iterator

from gateway.prompt.language.literals import QUOTED
from gateway.prompt.language.vocabulary import folded
from gateway.prompt.language.wording import TASK_CHARS, is_task
from gateway.split import TextSpan

NESTED = re.compile(r'"(?P<payload>[^"\n]*(?:\s"[^\s"][^"\n]*"[^"\n]*)+)"\W*$')
LONG_QUOTE_WORDS = 4
OPENING = "\"'“‘«「『"
_OPENING = re.compile(f"[{OPENING}]")
_OPENS = frozenset(OPENING)


class QueryView:
    """A query in its original and lower-case forms, with the places of its quotations."""

    def __init__(self, query: str) -> None:
        self.query = query
        self.low = folded(query)
        self._quotes: tuple[re.Match[str], ...] | None = None

    @property
    def quotes(self) -> tuple[re.Match[str], ...]:
        if self._quotes is None:
            self._quotes = tuple(QUOTED.finditer(self.query)) if _OPENING.search(self.query) else ()
        return self._quotes

    def quoted(self, start: int, end: int) -> bool:
        """Return whether the text from `start` to `end` is inside a quotation."""
        return any(match.start() < start and end <= match.end() for match in self.quotes)


def leading_quote(seen: QueryView, start: int) -> tuple[TextSpan, TextSpan] | None:
    """Return two spans for the quotation at `start`: one without the quotes and one with them.

    Return None if no quotation begins there, or if the text after the quotation is not a task.
    """
    query = seen.query
    offset = len(query) - len(query[start:].lstrip())
    if query[offset : offset + 1] not in _OPENS:
        return None
    nested = NESTED.fullmatch(query, offset)
    if nested:
        return TextSpan(*nested.span("payload")), TextSpan(*nested.span())
    quotation = QUOTED.match(query, offset)
    if quotation is None:
        return None
    rest = seen.low[quotation.end() :].strip(" \t\n.,;。，；")
    if rest and not (is_task(rest) or re.match(r"\w[\w ]{0,30}[:：]", rest)):
        return None
    return _inside(quotation), TextSpan(quotation.start(), quotation.end())


def outer_quotes(seen: QueryView) -> Iterator[tuple[str, TextSpan, TextSpan]]:
    """Yield a quotation in straight quotes at the end of the query, if it contains another quotation in straight
    quotes.

    An example is `Classify "he said "no" to me"`.
    """
    if len(seen.query) > 4 * TASK_CHARS or seen.query.count('"') < 4:
        return
    quotation = NESTED.search(seen.query)
    if quotation and is_task(seen.low[: quotation.start()]):
        yield (
            "outer-quotes",
            TextSpan(*quotation.span("payload")),
            TextSpan(quotation.start(), quotation.end("payload") + 1),
        )


def long_quote(seen: QueryView) -> Iterator[tuple[str, TextSpan, TextSpan]]:
    """Yield the quotation if the query has only one and it is long enough for a sentence.

    A single quoted word may instead be the subject of the question.
    """
    if len(seen.query) > 4 * TASK_CHARS or len(seen.quotes) != 1:
        return
    inside = _inside(seen.quotes[0])
    text = seen.query[inside.start : inside.end]
    if len(text.split()) >= LONG_QUOTE_WORDS or (not text.isascii() and len(text) >= 2 * LONG_QUOTE_WORDS):
        yield "long-quote", inside, TextSpan(*seen.quotes[0].span())


def longest_quote(seen: QueryView) -> Iterator[tuple[str, TextSpan, TextSpan]]:
    """Yield the longest quotation if the words before and after it are a task."""
    if not seen.quotes:
        return
    longest = max(seen.quotes, key=lambda match: match.end() - match.start())
    around = seen.low[: longest.start()] + " " + seen.low[longest.end() :]
    if is_task(around):
        yield "quoted", _inside(longest), TextSpan(longest.start(), longest.end())


def unquoted(query: str, span: TextSpan) -> TextSpan:
    """Return the span without its quotes. A span without quotes is returned unchanged."""
    trimmed = trim(query, span) or span
    match = QUOTED.fullmatch(query, trimmed.start, trimmed.end)
    return _inside(match) if match else span


def _inside(quotation: re.Match[str]) -> TextSpan:
    group = quotation.lastindex or 0
    return TextSpan(*quotation.span(group))


def trim(query: str, span: TextSpan) -> TextSpan | None:
    """Return the span without white space at its ends, or None if nothing is left."""
    text = query[span.start : span.end]
    start = span.start + len(text) - len(text.lstrip())
    end = span.start + len(text.rstrip())
    return TextSpan(start, end) if start < end else None
