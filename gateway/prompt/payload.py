"""Tells what a query is about from what it asks: `Translate to French: good morning`.

Rules only, tried from the most certain (a code fence) to the least (a verb and what is left). Where
none applies there is no payload, and a template that needs one does not speak.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from msgspec import Struct

from gateway.prompt.marks import QUOTED, fences
from gateway.prompt.wording import KIND_WORD, OFFERS, POINTS_BACK, TASK_CHARS, VERB_LED, is_about_text, is_task


class Span(Struct, frozen=True):
    """Characters [start, end) of the query."""

    start: int
    end: int


class Split(Struct, frozen=True):
    """A query taken apart. `payload` is None where it could not be told apart; `instruction` are the
    other spans, and the whole query then."""

    query: str
    instruction: tuple[Span, ...]
    payload: Span | None = None
    rule: str = ""

    @property
    def payload_text(self) -> str:
        return self.query[self.payload.start : self.payload.end] if self.payload else ""

    @property
    def instruction_text(self) -> str:
        return " ".join(self.query[span.start : span.end] for span in self.instruction)


COLON = re.compile(r"(?<!\d)[:：](?!//)(?=\s|[^\x00-\x7f]|[\"'“‘(\[{]|[A-Za-z])|[:：](?=\s)")
DASH = re.compile(r"[ \t](?:--?|–|—)[ \t]|——|=>|->|→|—")
LINE = re.compile(r"\n")
PARAGRAPH = re.compile(r"\n[ \t]*\n+")
INTRODUCTION = re.compile(
    r"\W*(?:here(?:'s| is| are| comes)|below|the following|"
    r"(?:this|that|the) (?:is|was|came|text|[\w-]+ (?:below|came|is|was|says|said))"
    r"|(?:i|we|someone|somebody|a \w+) (?:got|have|had|received|wrote|said|sent|asked))\b",
    re.IGNORECASE,
)
"""What says, before a text, where it comes from."""
BLANK_FIELD = re.compile(r"\n[ \t]*[\w ]{1,20}[:：]\s*\Z")
"""`Label:` at the very end: a form to fill in, not part of the text."""
NESTED = re.compile(r'"(?P<payload>[^"\n]*(?:\s"[^\s"][^"\n]*"[^"\n]*)+)"\W*$')
SENTENCE_END = re.compile(r"[.!?](?=\s)|[。！？]|\n")
LONG_QUOTE_WORDS = 4
OPENING = "\"'“‘«「『"


@lru_cache(maxsize=32)  # a request's stages each ask for it
def split(query: str) -> Split:
    """Take a query apart by the first rule that applies."""
    for rule, payload, drop in _candidates(query):
        trimmed = _trim(query, payload)
        if trimmed is not None:
            return Split(query, _rest(query, drop), trimmed, rule)
    whole = _trim(query, Span(0, len(query)))
    return Split(query, (whole,) if whole else ())


def _candidates(query: str) -> Iterator[tuple[str, Span, Span]]:
    """(rule, payload, what the payload takes with it: its quotes, fences or colon)."""
    yield from _fenced(query)
    yield from _between(query)
    yield from _after_break(query)
    yield from _before_break(query)
    yield from _outer_quotes(query)
    yield from _long_quote(query)
    yield from _by_sentence(query)
    yield from _quoted(query)
    yield from _verb_led(query)


def _fenced(query: str) -> Iterator[tuple[str, Span, Span]]:
    blocks = fences(query)
    if not blocks:
        return
    first, last = blocks[0], blocks[-1]
    # two blocks (the code and its error, say) belong together: the payload spans both
    payload = Span(first.body_start, first.body_end) if len(blocks) == 1 else Span(first.start, last.end)
    if (query[: first.start] + query[last.end :]).strip():
        yield "fence", payload, Span(first.start, last.end)


def _after_break(query: str) -> Iterator[tuple[str, Span, Span]]:
    """The text after the first colon, line break or dash whose left side is a task."""
    head = query[: TASK_CHARS + 1]
    breaks = [(found.start(), found.end(), "colon") for found in _colons(head)]
    breaks += [(found.start(), found.end(), "line") for found in _found(LINE, head, "\n")]
    breaks += [(found.start(), found.end(), "dash") for found in _found(DASH, head, "-–—=")]
    if not breaks:
        return
    quotes = [found.span() for found in QUOTED.finditer(head)]
    for start, end, rule in sorted(breaks):
        left = query[:start]
        if any(a < start < b for a, b in quotes) or not is_task(_last_lines(left)) or not query[end:].strip():
            continue
        if OFFERS.search(left):
            continue
        if rule != "colon" and _asks_back(left, query[end : end + 2 * TASK_CHARS]):
            continue
        inner = _leading_quote(query, end)
        stop = BLANK_FIELD.search(query, end)
        last = stop.start() if stop else len(query) - len(_closing_question(left, query[end:]))
        yield (rule, *inner) if inner else (rule, Span(end, last), Span(start, last))


def _colons(text: str) -> Iterator[re.Match[str]]:
    """The matches of `COLON`, which begins with one: looked at only where one is."""
    for place, mark in enumerate(text):
        if mark in ":：" and (found := COLON.match(text, place)):
            yield found


def _found(pattern: re.Pattern[str], text: str, marks: str) -> Iterable[re.Match[str]]:
    """The matches of a pattern that cannot do without one of the marks: looking for those is much faster."""
    return pattern.finditer(text) if any(mark in text for mark in marks) else ()


def _asks_back(left: str, right: str) -> bool:
    """Whether the right side says what to do with the left, rather than the other way round."""
    if not is_about_text(right) or not (right.rstrip()[-1:] in ("?", "？") or POINTS_BACK.search(right)):
        return False
    return not is_about_text(left) or bool(KIND_WORD.search(right) and not KIND_WORD.search(left))


def _closing_question(left: str, right: str) -> str:
    """`What is its intent?` at the end of a text, where what stands before the text did not ask that."""
    tail = right[-TASK_CHARS:]
    ends = [found.end() for found in SENTENCE_END.finditer(tail.rstrip())]
    closing = tail[ends[-1] :] if ends else ""
    asks = KIND_WORD.search(closing) and is_about_text(closing) and not KIND_WORD.search(left)
    return closing if asks else ""


def _last_lines(text: str) -> str:
    """A head is judged by its last two lines; what stands above is preface."""
    return "\n".join(text.strip().split("\n")[-2:])


def _leading_quote(query: str, start: int) -> tuple[Span, Span] | None:
    """The quotation that the right side begins with, if nothing or only another task follows it."""
    offset = start + len(query[start:]) - len(query[start:].lstrip())
    if query[offset : offset + 1] not in tuple(OPENING):
        return None
    found = QUOTED.match(query, offset)
    if found is None:
        return None
    rest = query[found.end() :].strip(" \t\n.,;。，；")
    if rest and not (is_task(rest) or re.match(r"\w[\w ]{0,30}[:：]", rest)):
        return None
    return _inside(found), Span(found.start(), found.end())


def _between(query: str) -> Iterator[tuple[str, Span, Span]]:
    """What introduces a text, the text, and a question about it, each a paragraph of its own."""
    found = list(PARAGRAPH.finditer(query.strip()))
    if len(found) < 2:
        return
    offset = len(query) - len(query.lstrip())
    start, end = found[0].end() + offset, found[-1].start() + offset
    head, tail = query[: found[0].start() + offset], query[found[-1].end() + offset :]
    introduces = len(head) <= TASK_CHARS and INTRODUCTION.match(head) and "\n" not in head
    if introduces and len(tail) <= TASK_CHARS and (is_task(tail) or tail.strip()[-1:] in "?？"):
        yield "between", Span(start, end), Span(found[0].start() + offset, found[-1].end() + offset)


def _before_break(query: str) -> Iterator[tuple[str, Span, Span]]:
    """A text, then what to do with it: `<text>\\n\\nSummarise the above.`"""
    for rule, pattern in (("paragraph-before", PARAGRAPH), ("line-before", LINE), ("dash-before", DASH)):
        found = list(pattern.finditer(query.rstrip()))
        if not found:
            continue
        tail = query[found[-1].end() :]
        if (
            is_task(tail)
            and (POINTS_BACK.search(tail) or tail.strip()[-1:] in "?？")
            and query[: found[-1].start()].strip()
        ):
            yield rule, Span(0, found[-1].start()), Span(0, found[-1].end())


def _outer_quotes(query: str) -> Iterator[tuple[str, Span, Span]]:
    """A quotation in straight quotes with another inside it, at the end: `Classify "he said "no" to me"`."""
    found = NESTED.search(query[: 4 * TASK_CHARS])
    if found and len(query) <= 4 * TASK_CHARS and is_task(query[: found.start()]):
        yield "outer-quotes", Span(*found.span("payload")), Span(found.start(), found.end("payload") + 1)


def _long_quote(query: str) -> Iterator[tuple[str, Span, Span]]:
    """The one quotation of the query, where it is a sentence and not a word that is talked about."""
    if len(query) > 4 * TASK_CHARS:
        return
    found = list(QUOTED.finditer(query))
    if len(found) == 1:
        inside = _inside(found[0])
        text = query[inside.start : inside.end]
        if len(text.split()) >= LONG_QUOTE_WORDS or (not text.isascii() and len(text) >= 2 * LONG_QUOTE_WORDS):
            yield "long-quote", inside, Span(*found[0].span())


def _quoted(query: str) -> Iterator[tuple[str, Span, Span]]:
    """The longest quotation, where what is around it is a task."""
    found = sorted(QUOTED.finditer(query), key=lambda match: match.start() - match.end())
    if not found:
        return
    longest = found[0]
    around = query[: longest.start()] + " " + query[longest.end() :]
    if is_task(around):
        yield "quoted", _inside(longest), Span(longest.start(), longest.end())


def _by_sentence(query: str) -> Iterator[tuple[str, Span, Span]]:
    """`What does the customer want? I lost my card`, and the same the other way round."""
    if len(query) > 4 * TASK_CHARS:
        return
    quotes = [found.span() for found in QUOTED.finditer(query)]
    ends = [
        found.end()
        for found in SENTENCE_END.finditer(query.rstrip())
        if not any(start < found.start() and found.end() < end for start, end in quotes)
    ]
    if ends:
        first, last = _task_end(query, ends), ends[-1]
        if is_about_text(query[:first]) and query[first:].strip():
            yield "sentence", _unquoted(query, Span(first, len(query))), Span(first, len(query))
        if is_about_text(query[last:]) and POINTS_BACK.search(query[last:]):
            yield "sentence-before", _unquoted(query, Span(0, last)), Span(0, last)


def _task_end(query: str, ends: Sequence[int]) -> int:
    """Where the sentences that state the task end: the first, and questions about the text after it."""
    first = ends[0]
    for end in ends[1:]:
        sentence = query[first:end].rstrip()
        if not (sentence.endswith(("?", "？")) and is_about_text(sentence) and query[end:].strip()):
            break
        first = end
    return first


def _verb_led(query: str) -> Iterator[tuple[str, Span, Span]]:
    text = query[:2000]
    if len(query) > len(text):
        return
    for rule, pattern in VERB_LED.items():
        found = pattern.match(text)
        if found:
            span = Span(*found.span("payload"))
            yield rule, span, span


def _unquoted(query: str, span: Span) -> Span:
    """The span without the quotes around all of it."""
    trimmed = _trim(query, span) or span
    found = QUOTED.fullmatch(query, trimmed.start, trimmed.end)
    return _inside(found) if found else span


def _inside(quotation: re.Match[str]) -> Span:
    group = quotation.lastindex or 0
    return Span(*quotation.span(group))


def _trim(query: str, span: Span) -> Span | None:
    """The span without white space at its ends; None if nothing else is in it."""
    text = query[span.start : span.end]
    start = span.start + len(text) - len(text.lstrip())
    end = span.start + len(text.rstrip())
    return Span(start, end) if start < end else None


def _rest(query: str, drop: Span) -> tuple[Span, ...]:
    left = query[: drop.start].rstrip(" \t\n:：")
    parts = (_trim(query, Span(0, len(left))), _trim(query, Span(drop.end, len(query))))
    return tuple(part for part in parts if part and query[part.start : part.end].strip(".,;:!。，；：！ \"'"))
