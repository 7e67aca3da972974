"""Finds the client's own words in a long message: what asks for something, at the beginning or the end, and where the
text begins and ends."""

import re

from msgspec import Struct

from gateway.context.fence import language_of
from gateway.context.task.head import shipped
from gateway.context.task.rules import ruled

TASK_CHARS = 1200
"""The greatest length of a task, in characters. A longer paragraph belongs to the text."""
DENSE_SHARE = 3
"""A task in Chinese has at most this fraction of those characters."""
LINE_CHARS = 400
"""A first or last line, or the words before a colon, can be a task up to this length."""
ASKS = 0.5
"""A block asks for something from this probability on."""
RULED = 0.5
"""This is added where the first words of a sentence are those of a task for a text."""
QUESTION = 0.3
"""This is added for a question mark at the end."""
SENTENCE = 0.05
"""This is taken off for each further sentence, since a text has more of them than a task."""
FURTHER = 0.8
MOST_FURTHER = 2
"""At most this many paragraphs after the first belong to the task, if they ask for something too."""
FENCED_SHARE = 0.6
"""A fenced part of at least this share of the message is its text."""
LEAD_CHARS = 160

_BLOCK = re.compile(r"\n[ \t]*\n\s*")
_FENCES = (
    re.compile(r"(?<!`)```[^\n`]*\n(?P<text>.*)\n[ \t]*```(?!`)", re.DOTALL),
    re.compile(r"\"\"\"(?P<text>.*)\"\"\"", re.DOTALL),
    re.compile(r"'''(?P<text>.*)'''", re.DOTALL),
    re.compile(r"(?P<text><(\w[\w-]*)[^<>]*>.*</\2>)", re.DOTALL),
    re.compile(r"^(?P<rule>[-=*_#~<>]{3,})[^\n]*\n(?P<text>.*)\n[-=*_#~<>]{3,}[^\n]*$", re.DOTALL | re.MULTILINE),
)
_COLON = re.compile(r":\s|：|:(?=\n)")
_KINDS = "passage|document|source|context|article|excerpt|段落|文档|资料|文章"
PASSAGE = re.compile(
    rf"^[ \t]*(?:\[\d{{1,4}}\]|(?:{_KINDS})[ \t]*#?\d{{1,4}}[ \t]*[:：.)]?)", re.IGNORECASE | re.MULTILINE
)
"""The beginning of a numbered passage."""
Span = tuple[int, int]


class Instruction(Struct, frozen=True):
    """The client's own words, and the characters [start, end) of the message that are its text."""

    task: str
    start: int
    end: int


def instruction_of(message: str) -> Instruction:
    """Split a message into the task and the text. The task is "" if nothing asks; all is text then."""
    return _fenced(message) or _by_blocks(message) or Instruction("", 0, len(message))


def _fenced(message: str) -> Instruction | None:
    """The split of a message whose text stands in a fence, between quotation marks, tags or rules."""
    for pattern in _FENCES:
        match = pattern.search(message)
        if match is None or match.end("text") - match.start("text") < FENCED_SHARE * len(message):
            continue
        start, end = match.span("text")
        outside = [message[: match.start()].strip(), message[match.end() :].strip()]
        task = "\n".join(part for part in outside if part)
        if task and len(task) <= _longest(task) and max(_asks([part for part in outside if part])) >= ASKS:
            return Instruction(task, start, end)
    return None


def _by_blocks(message: str) -> Instruction | None:
    """The split at a blank line, a line end or a colon, whichever leaves the likeliest task."""
    blocks = _blocks(message)
    first = _first(message, blocks)
    last = _last(message, blocks)
    if last is not None and (first is None or last[1] > first[1]):
        (start, end), _ = last
        return Instruction(message[start:end].strip(), _after_lead(message, blocks, start), start)
    if first is not None:
        (start, end), _ = first
        return Instruction(message[start:end].strip(), end, len(message))
    return None


def _first(message: str, blocks: list[Span]) -> tuple[Span, float] | None:
    """The likeliest task at the beginning, and its probability. Further paragraphs that ask belong to it."""
    begin, end = blocks[0]
    stops = [end] if len(blocks) > 1 else []
    line = message.find("\n", begin, begin + LINE_CHARS)
    if begin < line < end:
        stops.append(line)
    stops += [colon.end() for colon in _COLON.finditer(message, begin, min(end, begin + LINE_CHARS))][:3]
    likeliest = _likeliest(message, [(begin, stop) for stop in stops if stop < len(message)])
    if likeliest is None or likeliest[0][1] != end:
        return likeliest
    stop = end
    for start, upto in blocks[1 : min(len(blocks) - 1, 1 + MOST_FURTHER)]:
        block = message[start:upto].strip()
        if len(block) > LEAD_CHARS or not (block[-1] in ":：" or _asks([block])[0] > FURTHER):
            break
        stop = upto
    return (begin, stop), likeliest[1]


def _last(message: str, blocks: list[Span]) -> tuple[Span, float] | None:
    start, end = blocks[-1]
    starts = [start] if len(blocks) > 1 else []
    line = message.rfind("\n", max(start, end - LINE_CHARS), end)
    if line > start:
        starts.append(line + 1)
    return _likeliest(message, [(place, end) for place in starts])


def _likeliest(message: str, spans: list[Span]) -> tuple[Span, float] | None:
    texts = [message[start:end].strip() for start, end in spans]
    fitting = [
        (span, text)
        for span, text in zip(spans, texts, strict=True)
        if text and len(text) <= _longest(text) and not PASSAGE.match(text)
    ]
    if not fitting:
        return None
    scored = list(zip([span for span, _ in fitting], _asks([text for _, text in fitting]), strict=True))
    best = max(scored, key=lambda pair: pair[1])
    return best if best[1] >= ASKS else None


def _asks(texts: list[str]) -> list[float]:
    """How much each text looks like the client's own task. At most 1.5, and 0.5 is as likely as not."""
    return [_asks_for_something(text) for text in texts]


def _asks_for_something(text: str) -> float:
    """The probability that a text asks for something. In doubt, the shorter one of two is the client's own, and one
    whose first words name what to do with the text."""
    head, language = shipped(), language_of(text)
    units = head.units(text)
    plainly = RULED * any(ruled(unit, language) for unit in units)
    question = QUESTION if text[-1] in "?？" else 0.0
    return (
        max(head.asks(units, language)) + plainly + question - SENTENCE * (len(units) - 1) - len(text) / TASK_CHARS / 4
    )


def _after_lead(message: str, blocks: list[Span], task: int) -> int:
    """The position after a first paragraph that only introduces the text, as `Here is the report:`."""
    start, end = blocks[0]
    lead = message[start:end].strip()
    introduces = len(lead) <= LEAD_CHARS and lead[-1:] in (":", "：") and "\n" not in lead
    return end if introduces and end < task else 0


def _longest(text: str) -> int:
    return TASK_CHARS if language_of(text) != "zh" else TASK_CHARS // DENSE_SHARE


def _blocks(message: str) -> list[Span]:
    """The spans of the paragraphs. White space between paragraphs is left out."""
    edges = [0, *[edge for gap in _BLOCK.finditer(message) for edge in gap.span()], len(message)]
    spans = [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if message[start:end].strip()]
    return spans or [(0, len(message))]
