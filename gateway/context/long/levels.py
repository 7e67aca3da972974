"""The results of one step of reading a long text: how they are grouped, joined, counted and cut to fit a prompt."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from gateway.context.long.frames import SOURCE_TOKENS
from gateway.context.long.parts import MESSAGE, Count
from gateway.exchange import Chunk

SENTENCE_END = re.compile(r"(?<=[.!?])(?=\s)|(?<=[。！？\n])(?=.)", re.DOTALL)


class ReadingLevel(Struct, frozen=True):
    """The results of one step, which is `map`, `reduce` or `refine`."""

    step: str
    results: tuple[Chunk, ...]

    def data(self) -> Mapping[str, Any]:
        results = [
            {"start": result.start, "end": result.end, "tokens": result.tokens, "text": result.text}
            for result in self.results
        ]
        return {"step": self.step, "results": results}


def as_one(group: Sequence[Chunk]) -> Chunk:
    text = "\n\n".join(result.text for result in group)
    sources = {result.source for result in group}
    source = sources.pop() if len(sources) == 1 else MESSAGE
    return Chunk(group[0].id, "", source, text, group[0].start, group[-1].end)


def merge_groups(level: Sequence[Chunk], size: int) -> list[Sequence[Chunk]]:
    """Divide the results of a level into groups of neighbours. Each group is merged by one call.

    All results of a group belong to one document, unless every document has only one result.
    """
    documents = [list(group) for _, group in itertools.groupby(level, key=lambda result: result.source)]
    if all(len(document) == 1 for document in documents):
        documents = [list(level)]
    return [document[start : start + size] for document in documents for start in range(0, len(document), size)]


def level_tokens(level: Sequence[Chunk]) -> int:
    return sum(result.tokens for result in level)


def tokens_in_prompt(level: Sequence[Chunk]) -> int:
    """Return the number of tokens that the results take in the last prompt."""
    return level_tokens(level) + SOURCE_TOKENS * len(level)


def cut_to_fit(level: Sequence[Chunk], tokens: int, count: Count) -> list[Chunk]:
    """Shorten the results at the ends of sentences until all fit. Blocking.

    Long results get the room that short ones do not need. If there is no room for at least one sentence of every
    result, some results are dropped. The remaining results are at even distances, so that all regions of the text are
    kept.
    """
    keep = min(len(level), tokens // SOURCE_TOKENS)
    while keep:
        some = [level[place * len(level) // keep] for place in range(keep)]
        cut = {}
        free, left = tokens - SOURCE_TOKENS * keep, keep
        for place in sorted(range(keep), key=lambda place: some[place].tokens):
            cut[place] = shortened = _shortened(some[place], free // left, count)
            free, left = free - shortened.tokens, left - 1
        if all(shortened.text for shortened in cut.values()):
            return [cut[place] for place in range(keep)]
        keep = keep * 3 // 4
    return []


def _shortened(result: Chunk, tokens: int, count: Count) -> Chunk:
    text, size = result.text, result.tokens
    while text and size > tokens:
        *sentences, _ = SENTENCE_END.split(text.strip())
        text = "".join(sentences)
        size = count(text)
    return Chunk(result.id, "", result.source, text, result.start, result.end, heading=result.heading, tokens=size)
