"""Splits a query into an instruction and the text that the instruction is about.

In `Translate to French: good morning`, that text is `good morning`. It is called the payload.

The rules run from the most certain (a code fence) to the least certain (a verb and its object). If none applies, there
is no payload, and a template that needs a payload is not used.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from gateway.prompt.language.literals import fences
from gateway.prompt.language.payload_quotes import (
    QueryView,
    leading_quote,
    long_quote,
    longest_quote,
    outer_quotes,
    trim,
    unquoted,
)
from gateway.prompt.language.wording import (
    TASK_CHARS,
    introduces,
    is_about_text,
    is_task,
    names_kind,
    offers,
    points_back,
    verb_led,
)
from gateway.split import Split, TextSpan

COLON = re.compile(r"(?<!\d)[:：](?!//)(?=\s|[^\x00-\x7f]|[\"'“‘(\[{]|[A-Za-z])|[:：](?=\s)")
DASH = re.compile(r"[ \t](?:--?|–|—)[ \t]|——|=>|->|→|—")
LINE = re.compile(r"\n")
PARAGRAPH = re.compile(r"\n[ \t]*\n+")
BLANK_FIELD = re.compile(r"\n[ \t]*[\w ]{1,20}[:：]\s*\Z")
"""`Label:` at the very end of the query. This is a field to fill in, not part of the text."""
_SHORTENED = ("mr", "mrs", "ms", "dr", "prof", "st", "vs", "approx", "incl", "e.g", "i.e", "a.m", "p.m")
"""Words whose dot ends no sentence."""
_NOT_SHORTENED = "".join(rf"(?<!\b{re.escape(word)}\.)" for word in _SHORTENED)
SENTENCE_END = re.compile(rf"[.!?]{_NOT_SHORTENED}(?=\s)|[。！？]|\n", re.IGNORECASE)
_DASHES = re.compile("[-–—=→]")


def split(query: str) -> Split:
    """Split a query by the first rule that applies."""
    for rule, payload, drop in _candidates(QueryView(query)):
        trimmed = trim(query, payload)
        if trimmed is not None:
            return Split(query, _rest(query, drop), trimmed, rule)
    whole = trim(query, TextSpan(0, len(query)))
    return Split(query, (whole,) if whole else ())


def _candidates(seen: QueryView) -> Iterator[tuple[str, TextSpan, TextSpan]]:
    """Yield (rule, payload, outer span) for each rule that applies. The outer span includes the quotes, fences or
    colon.
    """
    yield from _fenced(seen.query)
    yield from _between(seen)
    yield from _after_break(seen)
    yield from _before_break(seen)
    yield from outer_quotes(seen)
    yield from long_quote(seen)
    yield from _by_sentence(seen)
    yield from longest_quote(seen)
    yield from _verb_led(seen)


def _fenced(query: str) -> Iterator[tuple[str, TextSpan, TextSpan]]:
    blocks = fences(query) if "```" in query or "~~~" in query else ()
    if not blocks:
        return
    first, last = blocks[0], blocks[-1]
    # two blocks belong together, such as code and its error: the payload spans both
    payload = TextSpan(first.body_start, first.body_end) if len(blocks) == 1 else TextSpan(first.start, last.end)
    if (query[: first.start] + query[last.end :]).strip():
        yield "fence", payload, TextSpan(first.start, last.end)


def _after_break(seen: QueryView) -> Iterator[tuple[str, TextSpan, TextSpan]]:
    """Yield the text after each colon, line break or dash that follows a task, in order."""
    query, low = seen.query, seen.low
    for start, end, rule in _breaks(low[: TASK_CHARS + 1]):
        left = low[:start]
        if seen.quoted(start, start + 1) or not is_task(_last_lines(left)) or not query[end:].strip() or offers(left):
            continue
        if rule != "colon" and _asks_back(left, low[end : end + 2 * TASK_CHARS]):
            continue
        inner = leading_quote(seen, end)
        stop = BLANK_FIELD.search(query, end)
        last = stop.start() if stop else len(query) - len(_closing_question(left, low[end:]))
        yield (rule, *inner) if inner else (rule, TextSpan(end, last), TextSpan(start, last))


def _breaks(head: str) -> Sequence[tuple[int, int, str]]:
    """Return the colons, line breaks and dashes of the head, in order."""
    breaks = [(match.start(), match.end(), "colon") for match in _colons(head)]
    if "\n" in head:
        breaks += [(match.start(), match.end(), "line") for match in LINE.finditer(head)]
    return sorted(breaks + _dashes(head)) if _DASHES.search(head) else sorted(breaks)


def _dashes(head: str) -> list[tuple[int, int, str]]:
    """Return the dashes between a task and its text. A pair of dashes inside one sentence is a parenthesis, and is left
    out.
    """
    dashes = list(DASH.finditer(head))
    bracketing = {
        match.start()
        for pair in pairwise(dashes)
        if pair[0][0] == pair[1][0] and not SENTENCE_END.search(head, pair[0].end(), pair[1].end())
        for match in pair
        if not is_about_text(head[: pair[0].start()])
    }
    return [(match.start(), match.end(), "dash") for match in dashes if match.start() not in bracketing]


def _colons(text: str) -> Iterator[re.Match[str]]:
    """Yield the matches of `COLON`. The pattern is tried only where the text has a colon."""
    for mark in ":：":
        place = text.find(mark)
        while place >= 0:
            if match := COLON.match(text, place):
                yield match
            place = text.find(mark, place + 1)


def _asks_back(left: str, right: str) -> bool:
    """Return whether the right side is a task about the left side."""
    if not is_about_text(right) or not (right.rstrip()[-1:] in ("?", "？") or points_back(right)):
        return False
    return not is_about_text(left) or (names_kind(right) and not names_kind(left))


def _closing_question(left: str, right: str) -> str:
    """Return the question at the end of a text, such as `What is its intent?`, or "".

    If `left` is itself a task that names a kind of label, the result is "".
    """
    tail = right[-TASK_CHARS:]
    if not names_kind(tail):
        return ""
    ends = [match.end() for match in SENTENCE_END.finditer(tail.rstrip())]
    closing = tail[ends[-1] :] if ends else ""
    asks = names_kind(closing) and is_about_text(closing) and not names_kind(left)
    return closing if asks else ""


def _last_lines(text: str) -> str:
    """Return the last two lines. These lines decide whether a head is a task; the lines before them are an
    introduction.
    """
    return "\n".join(text.strip().split("\n")[-2:])


def _between(seen: QueryView) -> Iterator[tuple[str, TextSpan, TextSpan]]:
    """Find the text in three paragraphs: an introduction, the text, and a question about it."""
    if "\n" not in seen.query:
        return
    low = seen.low
    gaps = list(PARAGRAPH.finditer(low.strip()))
    if len(gaps) < 2:
        return
    offset = len(low) - len(low.lstrip())
    start, end = gaps[0].end() + offset, gaps[-1].start() + offset
    head, tail = low[: gaps[0].start() + offset], low[gaps[-1].end() + offset :]
    introduced = len(head) <= TASK_CHARS and "\n" not in head and introduces(head)
    if introduced and len(tail) <= TASK_CHARS and (is_task(tail) or tail.strip()[-1:] in "?？"):
        yield "between", TextSpan(start, end), TextSpan(gaps[0].start() + offset, gaps[-1].end() + offset)


def _before_break(seen: QueryView) -> Iterator[tuple[str, TextSpan, TextSpan]]:
    """Find a text that stands before its task, as in a pasted text with `Summarise the above.` under it."""
    low = seen.low.rstrip()
    for rule, pattern, needs in (
        ("paragraph-before", PARAGRAPH, LINE),
        ("line-before", LINE, LINE),
        ("dash-before", DASH, _DASHES),
    ):
        gaps = list(pattern.finditer(low)) if needs.search(low) else ()
        if not gaps:
            continue
        tail = seen.low[gaps[-1].end() :]
        asks = tail.strip()[-1:] in "?？" or points_back(tail)
        if asks and is_task(tail) and low[: gaps[-1].start()].strip():
            yield rule, TextSpan(0, gaps[-1].start()), TextSpan(0, gaps[-1].end())


def _by_sentence(seen: QueryView) -> Iterator[tuple[str, TextSpan, TextSpan]]:
    """Find a text after its question, as in `What does the customer want? I lost my card`, or before it."""
    query, low = seen.query, seen.low
    if len(query) > 4 * TASK_CHARS:
        return
    ends = [
        match.end()
        for match in SENTENCE_END.finditer(low.rstrip())
        if not (seen.quotes and seen.quoted(match.start(), match.end() + 1))
    ]
    if ends:
        first, last = _task_end(low, ends), ends[-1]
        if query[first:].strip() and is_about_text(low[:first]):
            yield "sentence", unquoted(query, TextSpan(first, len(query))), TextSpan(first, len(query))
        if query[last:].strip() and points_back(low[last:]) and is_about_text(low[last:]):
            yield "sentence-before", unquoted(query, TextSpan(0, last)), TextSpan(0, last)


def _task_end(query: str, ends: Sequence[int]) -> int:
    """Return the end of the task. The task is the first sentence, with the questions about the text that follow it
    directly.
    """
    first = ends[0]
    for end in ends[1:]:
        sentence = query[first:end].rstrip()
        if not (sentence.endswith(("?", "？")) and is_about_text(sentence) and query[end:].strip()):
            break
        first = end
    return first


def _verb_led(seen: QueryView) -> Iterator[tuple[str, TextSpan, TextSpan]]:
    if len(seen.low) <= 5 * TASK_CHARS:
        for rule, match in verb_led(seen.low):
            span = TextSpan(*match.span("payload"))
            yield rule, span, span


def _rest(query: str, drop: TextSpan) -> tuple[TextSpan, ...]:
    left = query[: drop.start].rstrip(" \t\n:：")
    parts = (trim(query, TextSpan(0, len(left))), trim(query, TextSpan(drop.end, len(query))))
    return tuple(part for part in parts if part and query[part.start : part.end].strip(".,;:!。，；：！ \"'"))
