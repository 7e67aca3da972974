"""What a long request is made of: the task, the text that it is about, and whether that is one text or several."""

import re
from collections.abc import Sequence

from msgspec import Struct

from gateway.context.fence import language_of
from gateway.context.long.wording import WORDINGS, wording_of
from gateway.exchange import Turn

TASK_CHARS = 1200
"""A longer paragraph is text rather than the task."""
OPENING_CHARS = 12
"""Who asks says so in the first words: `Please compare`, `So who`."""
FEWEST_PASSAGES = 3

_BLOCK = re.compile(r"\n[ \t]*\n+")
_KINDS = "passage|document|source|context|article|excerpt|段落|文档|资料|文章"
_PASSAGE = re.compile(
    rf"^[ \t]*(?:\[\d{{1,4}}\]|(?:{_KINDS})[ \t]*#?\d{{1,4}}[ \t]*[:：.)]?)", re.IGNORECASE | re.MULTILINE
)
_RULE = re.compile(r"^[ \t]*(?:-{3,}|={3,}|\*{3,})[ \t]*$", re.MULTILINE)


class RequestShape(Struct, frozen=True):
    """The last user message taken apart. `start` is where the text begins in it."""

    task: str
    text: str
    start: int = 0
    passages: tuple[str, ...] = ()
    """The independent passages that the text is made of; () for one text."""
    summary: bool = False
    """The task asks for a summary."""
    whole: bool = False
    """The task needs the whole text: counts, orders, comparisons."""
    language: str = "en"


def shape_of(message: str) -> RequestShape:
    """The task is the paragraph at either end that asks for something; what is left is the text."""
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
    said, material = message[slice(*task)].strip(), message[slice(*text)]
    return RequestShape(
        said,
        material,
        text[0],
        _passages(material),
        any(words.wants_summary.search(said) for words in WORDINGS.values()),
        any(words.wants_whole.search(said) for words in WORDINGS.values()),
        language_of(said or material[:TASK_CHARS]),
    )


def is_talk(turns: Sequence[Turn]) -> bool:
    """Whether a conversation rather than one message fills the window: its last message is the smaller part."""
    *earlier, last = [len(turn.text) for turn in turns]
    return sum(earlier) > last


def _asks(block: str, usual: int) -> float:
    """How much a paragraph looks like the task: 0 for text. `usual` is how long the paragraphs are."""
    if len(block) > (TASK_CHARS if wording_of(language_of(block)).spaced else TASK_CHARS // 3) or _PASSAGE.match(block):
        return 0.0
    # of every language: a task may be in two
    kinds = [kind for words in WORDINGS.values() for kind in (words.wants, words.wants_summary, words.wants_whole)]
    said = [found.start() for kind in kinds if (found := kind.search(block))]
    # of two that ask the shorter one is more likely to be the client's own words
    brevity = 1 - len(block) / TASK_CHARS
    if block[-1] in "?？:：" or (said and min(said) <= OPENING_CHARS):
        return 1 + brevity
    if said:
        return brevity
    return brevity / 2 if len(block) * 3 < usual else 0.0


def _blocks(message: str) -> list[tuple[int, int]]:
    """The paragraphs as spans, the white space between them left out."""
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
