"""Splits a long message into the task, which stands at the beginning or the end, and the text to work on."""

import re
from collections.abc import Iterator

from msgspec import Struct

from gateway.context.fence import language_of
from gateway.context.long.middle import OF_CODE, Middle, middle_of
from gateway.context.task.head import shipped
from gateway.context.task.rules import is_order, is_wish

TASK_CHARS = 1200
"""The maximum length of a task in characters. A longer paragraph belongs to the text."""
DENSE_SHARE = 3
"""The maximum length of a task in Chinese is `TASK_CHARS` divided by this number."""
LINE_CHARS = 400
"""The maximum length of a task that is only the first line, the last line, or the words before a colon."""
ASKS = 0.5
"""A text with at least this score is taken for a task."""
RULED = 0.5
"""Added to the score if a sentence begins by saying what to do with a text."""
QUESTION = 0.5
"""Added to the score for a question mark at the end."""
WISH = 0.4
"""Added to the score for a sentence that begins like a wish, such as `Could you`."""
CODE, CODE_SHARE = 0.6, 0.05
"""If more than the share `CODE_SHARE` of the characters are typical of code, `CODE` is subtracted from the score."""
SENTENCE = 0.05
"""Subtracted from the score for each sentence after the first, since a text has more sentences than a task."""
GOES_ON = 0.45
MOST_FURTHER = 2
"""The maximum number of paragraphs that a task may have after its first paragraph. Each of them must give an order or
introduce the text.
"""
FENCED_SHARE = 0.6
"""If a fenced part is at least this share of the message, the fenced part is the text."""
LEAD_CHARS = 160

_BLOCK = re.compile(r"\n[ \t]*\n\s*")
_CODE_FENCE = re.compile(r"(?<!`)```[^\n`]*\n"), re.compile(r"\n[ \t]*```(?!`)")
_RULES = (
    re.compile(r"^[-=*_#~<>]{3}[^\n]*\n", re.MULTILINE),
    re.compile(r"\n[-=*_#~<>]{3}[^\n]*$", re.MULTILINE),
)
_QUOTES = tuple((re.compile(mark), re.compile(mark)) for mark in ('"""', "'''"))
_TAG = re.compile(r"<(\w[\w-]{0,40})[^<>\n]{0,200}>")
MOST_TAGS = 5
"""At most this many tags near the beginning of a message are examined."""
_INDENTED = re.compile(r"\n(?: {2,}|\t)[^\s\d*•-]")
_COLON = re.compile(r":\s|：|:(?=\n)")
_KINDS = "passage|document|source|context|article|excerpt|段落|文档|资料|文章"
PASSAGE = re.compile(
    rf"^[ \t]*(?:\[\d{{1,4}}\]|(?:{_KINDS})[ \t]*#?\d{{1,4}}[ \t]*[:：.)]?)", re.IGNORECASE | re.MULTILINE
)
"""Matches the start of a numbered passage."""
Span = tuple[int, int]


class Instruction(Struct, frozen=True):
    """The task in the client's own words, and the span of the text. The text is the characters [start, end) of the
    message.
    """

    task: str
    start: int
    end: int


def instruction_of(message: str) -> Instruction:
    """Split a message into the task and the text. If nothing in the message is a task, the task is "" and everything is
    text.
    """
    return _fenced(message) or _by_blocks(message) or Instruction("", 0, len(message))


def is_plain(task: str) -> bool:
    """Whether a task asks in words that leave no doubt: it says what to do with a text, expresses a wish, or is a
    question.
    """
    units = shipped().units(task)
    return any(is_order(unit, language_of(unit)) or is_wish(unit, language_of(unit)) for unit in units) or any(
        unit[-1] in "?？" for unit in units
    )


def _fenced(message: str) -> Instruction | None:
    """Split a message whose text is in a fence, or between quotation marks, tags or rules. Returns None if there is no
    such text or no task.
    """
    for fence in _fences(message):
        start, end = fence.text
        if end - start < FENCED_SHARE * len(message):
            continue
        outside = [message[: fence.whole[0]].strip(), message[fence.whole[1] :].strip()]
        task = "\n".join(part for part in outside if part)
        if not task or len(task) > _longest(task) or (not fence.is_sure and any(map(_has_code, outside))):
            continue
        if fence.is_sure or max(map(asks_for_something, filter(None, outside))) >= ASKS:
            return Instruction(task, start, end)
    return None


class TextFence(Struct, frozen=True):
    """A fence in a message: the span with its marks, and the span of the text inside.

    `is_sure` is true for code fences and quotation marks. These count even if the words around them do not look like a
    task.
    """

    whole: Span
    text: Span
    is_sure: bool


def _fences(message: str) -> Iterator[TextFence]:
    yield from _between(_CODE_FENCE, message, is_sure=True)
    for marks in _QUOTES:
        if not _is_doubtful(marks[0].pattern, message):
            yield from _between(marks, message, is_sure=message.count(marks[0].pattern) == 2)
    for tag in list(_TAG.finditer(message, 0, TASK_CHARS))[:MOST_TAGS]:
        closing = f"</{tag[1]}>"
        end = message.rfind(closing)
        if end > tag.end():
            span = tag.start(), end + len(closing)
            yield TextFence(span, span, is_sure=False)
    yield from _between(_RULES, message, is_sure=False)


def _between(marks: tuple[re.Pattern[str], re.Pattern[str]], message: str, *, is_sure: bool) -> Iterator[TextFence]:
    """Yield the fence from the first opening mark to the last closing mark, if there is one.

    One pattern for both marks would need quadratic time if an opening mark had no closing mark.
    """
    first = marks[0].search(message)
    if first is None:
        return
    closing = list(marks[1].finditer(message, first.end()))[-1:]
    for last in closing:
        yield TextFence((first.start(), last.end()), (first.end(), last.start()), is_sure)


def _is_doubtful(mark: str, message: str) -> bool:
    """Whether the quotation marks may belong to the text, like those of docstrings.

    Marks are not doubtful if there are only two, or if one stands at an end of the message.
    """
    if message.count(mark) == 2:
        return False
    return not (message.lstrip().startswith(mark) or message.rstrip().endswith(mark))


def _by_blocks(message: str) -> Instruction | None:
    """Split a message at the blank line, line end or colon where the most probable task begins or ends. Returns None if
    there is no task.
    """
    blocks = _blocks(message)
    middle = middle_of(message, blocks, asks_for_something)
    first = _first(message, blocks, middle)
    last = _last(message, blocks, middle)
    if last is not None and (first is None or last[1] > first[1]):
        (start, end), _ = last
        return Instruction(message[start:end].strip(), _after_lead(message, blocks, start), start)
    if first is not None:
        (start, end), _ = first
        return Instruction(message[start:end].strip(), end, len(message))
    return None


def _first(message: str, blocks: list[Span], middle: Middle) -> tuple[Span, float] | None:
    """Return the span and the score of the most probable task at the beginning, or None.

    Further paragraphs belong to the task if they give an order or introduce the text.
    """
    begin, end = blocks[0]
    stops = [end] if len(blocks) > 1 else []
    line = message.find("\n", begin, begin + LINE_CHARS)
    if begin < line < end:
        stops.append(line)
    colons = [colon.end() for colon in _COLON.finditer(message, begin, min(end, begin + LINE_CHARS))][:3]
    stops += [stop for stop in colons if not _goes_on(message[stop:end])]
    likeliest = _likeliest(message, [(begin, stop) for stop in stops if stop < len(message)], middle)
    if likeliest is None or likeliest[0][1] != end:
        return likeliest
    stop = end
    for start, upto in blocks[1 : min(len(blocks) - 1, 1 + MOST_FURTHER)]:
        block = message[start:upto].strip()
        introduces = block[-1] in ":：" and "\n" not in block and not middle.resembles(block)
        if len(block) > LEAD_CHARS or not (introduces or is_order(block, language_of(block))):
            break
        stop = upto
    return (begin, stop), likeliest[1]


def _goes_on(rest: str) -> bool:
    """Whether what follows a colon on the first line belongs to the task, as in `Tidy it up: remove the tags.`"""
    line = rest.lstrip(" ").split("\n", 1)[0].strip()
    return bool(line) and len(line) <= LEAD_CHARS and shipped().asks(line) >= GOES_ON


def _last(message: str, blocks: list[Span], middle: Middle) -> tuple[Span, float] | None:
    start, end = blocks[-1]
    starts = [start] if len(blocks) > 1 else []
    line = message.rfind("\n", max(start, end - LINE_CHARS), end)
    if line > start:
        starts.append(line + 1)
    return _likeliest(message, [(place, end) for place in starts], middle)


def _likeliest(message: str, spans: list[Span], middle: Middle) -> tuple[Span, float] | None:
    texts = [message[start:end].strip() for start, end in spans]
    fitting = [
        (span, text)
        for span, text in zip(spans, texts, strict=True)
        if text and len(text) <= _longest(text) and not PASSAGE.match(text)
    ]
    if not fitting:
        return None
    scored = [(span, asks_for_something(text) + middle.stands_out(text)) for span, text in fitting]
    best = max(scored, key=lambda pair: pair[1])
    return best if best[1] >= ASKS else None


def asks_for_something(text: str) -> float:
    """Return a score for how much a text looks like the client's own task. A text that scores `ASKS` is as likely a
    task as not.

    A question mark, a wish and the first words of a task raise the score. Code, length and further sentences lower it.
    """
    head = shipped()
    units = head.units(text)
    plainly = RULED * any(is_order(unit, language_of(unit)) for unit in units)
    question = QUESTION if text[-1] in "?？" else 0.0
    wish = WISH * any(is_wish(unit, language_of(unit)) for unit in units)
    code = CODE * _is_code(text)
    return head.asks(text) + plainly + question + wish - code - SENTENCE * (len(units) - 1) - len(text) / TASK_CHARS / 4


def _has_code(text: str) -> bool:
    return _is_code(text) or _INDENTED.search(text) is not None


def _is_code(text: str) -> bool:
    return len(OF_CODE.findall(text)) > CODE_SHARE * len(text)


def _after_lead(message: str, blocks: list[Span], task: int) -> int:
    """Return the position after a first paragraph that only introduces the text, such as `Here is the report:`. Returns
    0 if there is no such paragraph.
    """
    start, end = blocks[0]
    lead = message[start:end].strip()
    introduces = len(lead) <= LEAD_CHARS and lead[-1:] in (":", "：") and "\n" not in lead
    return end if introduces and end < task else 0


def _longest(text: str) -> int:
    return TASK_CHARS if language_of(text) != "zh" else TASK_CHARS // DENSE_SHARE


def _blocks(message: str) -> list[Span]:
    """Return the spans of the paragraphs, without the white space between them."""
    edges = [0, *[edge for gap in _BLOCK.finditer(message) for edge in gap.span()], len(message)]
    spans = [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if message[start:end].strip()]
    return spans or [(0, len(message))]
