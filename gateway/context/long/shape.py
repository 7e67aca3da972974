"""Splits a long request into the task and the text that it refers to, which is one text or several passages."""

import re
from collections.abc import Sequence

from msgspec import Struct

from gateway.ask import Turn
from gateway.context.fence import language_of
from gateway.context.long.wording import WORDINGS, wording_of

TASK_CHARS = 1200
"""The greatest length of a task, in characters. A longer paragraph belongs to the text."""
OPENING_CHARS = 12
"""The verb or question word of a request begins within this many characters, as in `Please compare` or `So who`."""
FEWEST_PASSAGES = 3

_BLOCK = re.compile(r"\n[ \t]*\n+")
_KINDS = "passage|document|source|context|article|excerpt|段落|文档|资料|文章"
_PASSAGE = re.compile(
    rf"^[ \t]*(?:\[\d{{1,4}}\]|(?:{_KINDS})[ \t]*#?\d{{1,4}}[ \t]*[:：.)]?)", re.IGNORECASE | re.MULTILINE
)
_RULE = re.compile(r"^[ \t]*(?:-{3,}|={3,}|\*{3,})[ \t]*$", re.MULTILINE)


class RequestShape(Struct, frozen=True):
    """The parts of the last user message. `start` is the position in the message at which the text begins."""

    task: str
    text: str
    start: int = 0
    passages: tuple[str, ...] = ()
    """The independent passages of the text, or () if it is a single text."""
    summary: bool = False
    """Whether the task asks for a summary."""
    whole: bool = False
    """Whether the task needs the whole text, for example to count, order or compare."""
    language: str = "en"


def shape_of(message: str) -> RequestShape:
    """Split a message. The task is the first or the last paragraph, if it asks for something; the rest is the text."""
    blocks = _blocks(message)
    task, text = (0, 0), (0, len(message))
    if len(blocks) > 1:
        first, last = blocks[0], blocks[-1]
        usual = sorted(end - start for start, end in blocks)[len(blocks) // 2]
        asks = [_asks(message[slice(*block)].strip(), usual) for block in (first, last)]
        if asks[1] > max(0.0, asks[0]):
            task, text = last, (0, last[0])
        elif asks[0] > 0:
            task, text = first, (first[1], len(message))
    task_text, material = message[slice(*task)].strip(), message[slice(*text)]
    return RequestShape(
        task_text,
        material,
        text[0],
        _passages(material),
        any(words.wants_summary.search(task_text) for words in WORDINGS.values()),
        any(words.wants_whole.search(task_text) for words in WORDINGS.values()),
        language_of(task_text or material[:TASK_CHARS]),
    )


def is_talk(turns: Sequence[Turn]) -> bool:
    """Whether the conversation fills the window, which means that the earlier turns are longer than the last
    message."""
    *earlier, last = [len(turn.text) for turn in turns]
    return sum(earlier) > last


def _asks(block: str, usual: int) -> float:
    """How much a paragraph looks like the task, or 0 if it looks like text. `usual` is the median length of the
    paragraphs in characters."""
    if len(block) > (TASK_CHARS if wording_of(language_of(block)).spaced else TASK_CHARS // 3) or _PASSAGE.match(block):
        return 0.0
    # all languages are tried, since a task may mix two
    kinds = [kind for words in WORDINGS.values() for kind in (words.wants, words.wants_summary, words.wants_whole)]
    places = [match.start() for kind in kinds if (match := kind.search(block))]
    # if two paragraphs ask for something, the shorter one is more likely to be the client's own
    brevity = 1 - len(block) / TASK_CHARS
    if block[-1] in "?？:：" or (places and min(places) <= OPENING_CHARS):
        return 1 + brevity
    if places:
        return brevity
    return brevity / 2 if len(block) * 3 < usual else 0.0


def _blocks(message: str) -> list[tuple[int, int]]:
    """The spans of the paragraphs. White space between paragraphs is left out."""
    edges = [0, *[edge for gap in _BLOCK.finditer(message) for edge in gap.span()], len(message)]
    spans = [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if message[start:end].strip()]
    return spans or [(0, len(message))]


def _passages(text: str) -> tuple[str, ...]:
    starts = [match.start() for match in _PASSAGE.finditer(text)]
    if len(starts) >= FEWEST_PASSAGES:
        ends = [*starts[1:], len(text)]
        return tuple(text[start:end].strip() for start, end in zip(starts, ends, strict=True))
    ruled = tuple(piece.strip() for piece in _RULE.split(text) if piece.strip())
    return ruled if len(ruled) >= FEWEST_PASSAGES else ()
