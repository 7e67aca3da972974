"""Finds the prompt from which a request was built. The match is exact, and a search among thousands of prompts takes
microseconds.

A shape is looked up by its first piece and by the end of its last piece. The pieces are sorted, so that a binary search
finds the longest known prefix of a text. Each prefix has a link to the next shorter one. `benchmarks/discover.py`
measures the times.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from gateway.ask import Turn
from gateway.prompt.found.found_prompt import FoundPrompt, PromptState, PromptVersion, is_open
from gateway.prompt.found.shape import TextShape

EDGE = 64
"""At most this many characters at each end of a text are used as keys. Hashing a whole system message of 100 kB would
take 60 us.
"""
MOST_ALIKE = 40
"""The maximum number of shapes with the same first piece and the same end. Trying more shapes would take too long."""
SYSTEM = ("system", "developer")

T = TypeVar("T")


class PrefixTable(Generic[T]):
    """A table whose keys are prefixes of texts."""

    def __init__(self, values: Mapping[str, T]) -> None:
        self._starts = sorted(values)
        self._values = [values[start] for start in self._starts]
        self._shorter = _links(self._starts)

    def of(self, text: str) -> Sequence[T]:
        """Return the values of all keys with which the text begins. The longest key comes first."""
        starts = self._starts
        if len(starts) == 1:  # most tables: a long key is compared once
            return self._values if text.startswith(starts[0]) else ()
        values: list[T] = []
        at = bisect_right(starts, text) - 1
        while at >= 0:
            if text.startswith(starts[at]):
                values.append(self._values[at])
            at = self._shorter[at]
        return values


def _links(starts: Sequence[str]) -> list[int]:
    """Return an index for each of the sorted keys: the place of the longest other key that is a prefix of this key, or
    -1.
    """
    links: list[int] = []
    open_: list[int] = []
    for at, start in enumerate(starts):
        while open_ and not start.startswith(starts[open_[-1]]):
            open_.pop()
        links.append(open_[-1] if open_ else -1)
        open_.append(at)
    return links


class ShapeMatch(Struct, Generic[T]):
    """A shape that fits a text, the values of the shape's parts, and the object that was stored with the shape."""

    shape: TextShape
    values: tuple[str, ...]
    meaning: T


Candidate = tuple[int, TextShape, T]
"""The number of fixed characters of a shape, which is counted once, the shape, and its meaning."""
ByTail = PrefixTable[list[Candidate[T]]]


class ShapeIndex(Generic[T]):
    """An index of shapes. Each shape is stored with an object, its `meaning`.

    `left_out` is the number of shapes that are not in the index, because of the limit `MOST_ALIKE`.
    """

    def __init__(self, shapes: Iterable[tuple[TextShape, T]]) -> None:
        self.left_out = 0
        self._constant: dict[tuple[int, str, str], list[tuple[TextShape, T]]] = defaultdict(list)
        nested: dict[str, dict[str, list[Candidate[T]]]] = defaultdict(lambda: defaultdict(list))
        for shape, meaning in sorted(shapes, key=lambda pair: -pair[0].fixed_chars):
            if not shape.parts:
                self._constant[_edges(shape.pieces[0])].append((shape, meaning))
                continue
            alike = nested[shape.pieces[0]][shape.pieces[-1][: -EDGE - 1 : -1]]
            if len(alike) < MOST_ALIKE:
                alike.append((shape.fixed_chars, shape, meaning))
            else:
                self.left_out += 1
        heads: dict[str, dict[str, ByTail[T]]] = defaultdict(dict)
        for head, tails in nested.items():
            heads[head[:EDGE]][head] = PrefixTable(tails)
        self._by_start = PrefixTable({start: PrefixTable(own) for start, own in heads.items()})

    def matches(self, text: str) -> list[ShapeMatch[T]]:
        """Return the shapes that fit the text. The shape with the most fixed text comes first."""
        found = [ShapeMatch(shape, (), meaning) for shape, meaning in self._constants(text)]
        for _, shape, meaning in self._candidates(text):
            values = shape.values_after_first(text)
            if values is not None:
                found.append(ShapeMatch(shape, values, meaning))
        if len(found) > 1:
            found.sort(key=lambda match: -match.shape.fixed_chars)
        return found

    def best(self, text: str) -> ShapeMatch[T] | None:
        """Return the fitting shape with the most fixed text, or None if no shape fits the text."""
        for shape, meaning in self._constants(text):
            return ShapeMatch(shape, (), meaning)
        best: ShapeMatch[T] | None = None
        most = -1
        for fixed_chars, shape, meaning in self._candidates(text):
            if fixed_chars > most:
                values = shape.values_after_first(text)
                if values is not None:
                    best, most = ShapeMatch(shape, values, meaning), fixed_chars
        return best

    def _constants(self, text: str) -> Sequence[tuple[TextShape, T]]:
        if not self._constant:
            return ()
        alike = self._constant.get(_edges(text), ())
        return [pair for pair in alike if pair[0].pieces[0] == text] if alike else ()

    def _candidates(self, text: str) -> list[Candidate[T]]:
        """Return the shapes whose first piece begins the text, and whose last characters end it. The other pieces are
        not compared.
        """
        turned = text[: -EDGE - 1 : -1]
        candidates: list[Candidate[T]] = []
        # a short beginning is compared first, since comparing whole system messages would take most of the time
        for by_head in self._by_start.of(text[:EDGE]):
            for tails in by_head.of(text):
                for alike in tails.of(turned):
                    candidates += alike
        return candidates


def _edges(text: str) -> tuple[int, str, str]:
    return len(text), text[:EDGE], text[-EDGE:]


class PromptMatch(Struct, frozen=True):
    """A request that was built from a found prompt. `values` holds the values of the parts of the system message,
    followed by those of the parts of the last user message.
    """

    prompt: FoundPrompt
    version: PromptVersion
    values: tuple[str, ...]

    def is_ambiguous(self, system: str | None, last: str) -> bool:
        """Whether the two texts can be read in more than one way. Then only the application's own bytes may be sent."""
        shape = self.version.system
        return self.version.last.is_ambiguous(last) or (shape is not None and shape.is_ambiguous(system or ""))


class PromptIndex:
    """All found prompts that can be recognised, by key and endpoint."""

    def __init__(self, prompts: Iterable[FoundPrompt] = ()) -> None:
        grouped: dict[tuple[str, str], list[tuple[FoundPrompt, PromptVersion]]] = defaultdict(list)
        for prompt in prompts:
            if prompt.state is not PromptState.IGNORED:
                versions = [version for version in prompt.versions if not is_open(version)]
                grouped[prompt.key, prompt.endpoint] += [(prompt, version) for version in versions]
        self._tables = {place: _KeyTable(pairs) for place, pairs in grouped.items()}
        self.left_out = sum(table.left_out for table in self._tables.values())

    def covers(self, key: str, endpoint: str) -> bool:
        """Whether any prompt was found in the traffic of this key at this endpoint."""
        return (key, endpoint) in self._tables

    def find(self, key: str, endpoint: str, turns: Sequence[Turn]) -> PromptMatch | None:
        """Return the prompt from which these turns were built, or None."""
        table = self._tables.get((key, endpoint))
        parts = readable(turns) if table is not None else None
        return table.find(*parts) if table is not None and parts is not None else None

    def find_texts(self, key: str, endpoint: str, system: str | None, last: str) -> PromptMatch | None:
        """Return the prompt from which these two texts were built, or None. The texts must be as `readable` returns
        them.
        """
        table = self._tables.get((key, endpoint))
        return table.find(system, last) if table is not None else None


Last = ShapeIndex[tuple[FoundPrompt, PromptVersion]]


class _KeyTable:
    """The prompts of one key at one endpoint."""

    def __init__(self, pairs: Sequence[tuple[FoundPrompt, PromptVersion]]) -> None:
        by_system: dict[TextShape | None, list[tuple[FoundPrompt, PromptVersion]]] = defaultdict(list)
        for pair in pairs:
            by_system[pair[1].system].append(pair)
        lasts = {system: Last((pair[1].last, pair) for pair in own) for system, own in by_system.items()}
        self._without = lasts.pop(None, None)
        self._systems = ShapeIndex((system, last) for system, last in lasts.items() if system is not None)
        self.left_out = self._systems.left_out + sum(last.left_out for last in lasts.values())
        self.left_out += self._without.left_out if self._without else 0

    def find(self, system: str | None, last: str) -> PromptMatch | None:
        if system is None:
            return _match((), self._without.best(last)) if self._without is not None else None
        for match in self._systems.matches(system):
            found = _match(match.values, match.meaning.best(last))
            if found is not None:
                return found
        return None


def _match(before: tuple[str, ...], last: ShapeMatch[tuple[FoundPrompt, PromptVersion]] | None) -> PromptMatch | None:
    if last is None:
        return None
    prompt, version = last.meaning
    return PromptMatch(prompt, version, (*before, *last.values))


def readable(turns: Sequence[Turn]) -> tuple[str | None, str] | None:
    """Return the text of the system message (None without one) and the text of the last user message.

    Returns None if there is no user message, if one of the two texts is not plain, or if another system message follows
    the last user message.
    """
    if not turns:
        return None
    first = turns[0]
    system = first.text if first.role in SYSTEM and first.plain else None
    if first.role in SYSTEM and system is None:
        return None
    for turn in reversed(turns):
        if turn.role == "user":
            return (system, turn.text) if turn.plain else None
        if turn.role in SYSTEM and turn is not first:
            return None
    return None
