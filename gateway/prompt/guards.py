"""Guards a rewrite: the user's words must survive, and hostile prompts get no template.

A template copies the prompt. The result must contain each number, quotation, piece of code, link, name, negation and
constraint of the prompt literally. A refiner paraphrases the prompt. Its result may contain these pieces in another
wording, but numbers and dates must keep their value. A rewrite that loses a piece is dropped, and the note names the
piece.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from gateway.ask import Turn
from gateway.prompt.language.invariants import LANGUAGE, Invariant, InvariantKind, items, negating
from gateway.prompt.language.language_names import find_language
from gateway.prompt.language.literals import NUMBER
from gateway.prompt.language.values import date_of, find_dates, items_of, number_of, number_words
from gateway.prompt.language.vocabulary import VOCABULARY, Derived, any_of, folded

UNCHECKED_CHARS = 4_000
"""Text outside all slots is searched for pieces only if it has at most this many characters. A longer text counts as
lost.
"""
NEGATED_CHARS = 60
"""In a paraphrased prompt, a negation covers this many characters after it."""

MIN_NAME_CHARS = 3
"""The minimum length of a name's stem. A shorter stem matches too many words."""

_WORDS = re.compile(r"[\w'’-]+")
_ADJECTIVE = re.compile(r"(?:ian|ean|an|ese|ish)$")
loose = Derived(lambda: any_of(words.whole(words.refine.loose) for words in VOCABULARY.values() if words.spaced))
"""The words that a paraphrase may replace, in all spaced languages."""


def lost(original: str, turns: Sequence[Turn], repeated: Sequence[tuple[int, int]] = ()) -> tuple[str, ...]:
    """Return the pieces of `original` that are missing in the turns.

    Render `turns` without examples, since a word that occurs only in an example does not count. `repeated` are spans of
    the original that the turns contain as a whole, such as a payload. These spans are not searched for pieces.
    """
    text = "\n".join(turn.text for turn in turns if turn.role in ("system", "user"))
    if original.strip() in text:
        return ()
    rest = _without(original, text, repeated)
    if not _WORDS.search(rest):
        return ()
    if len(rest) > UNCHECKED_CHARS:
        return (f"{len(rest)} characters outside the template's slots",)
    prompt = RewrittenPrompt(text)
    needed = Counter(items(rest))
    return tuple(dict.fromkeys(item.text for item, times in needed.items() if not prompt.repeats(item, times)))


def changed(original: str, refined: str) -> tuple[str, ...]:
    """Return the pieces of `original` that are missing in a paraphrase."""
    if original.strip() in refined:
        return ()
    prompt = RewrittenPrompt(refined)
    return tuple(dict.fromkeys(item.text for item in items(original) if not prompt.mentions(item)))


def hostile(text: str) -> str:
    """Return the words that tell the model to ignore or to show its instructions, or ""."""
    low = folded(text)
    for language, hints in _hostile().items():
        if not VOCABULARY[language].spaced and low.isascii():
            continue
        verbs, objects, pattern = hints
        if any(map(low.__contains__, objects)) and any(map(low.__contains__, verbs)):
            match = pattern.search(low)
            if match:
                return text[match.start() : match.end()]
    return ""


def growth(query: str, turns: Sequence[Turn]) -> int:
    """Return by how many characters the turns are longer than the query."""
    return sum(len(turn.text) for turn in turns) - len(query)


_hostile = Derived(
    lambda: {
        language: (words.hostile.verbs, words.hostile.objects, any_of(words.hostile.patterns))
        for language, words in VOCABULARY.items()
    }
)


def _without(original: str, text: str, repeated: Sequence[tuple[int, int]]) -> str:
    """Return the original without the spans that the text contains as a whole."""
    pieces, end = [], 0
    for start, stop in sorted(set(repeated)):
        span = original[start:stop].strip()
        if start >= end and len(span) > 1 and span in text:
            pieces.append(original[end:start])
            end = stop
    return "\n".join((*pieces, original[end:]))


class RewrittenPrompt:
    """A rewritten prompt that is searched for pieces. Numbers and dates are parsed once, when first needed."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.low = folded(text)
        self._values: Counter[str] | None = None

    def repeats(self, item: Invariant, times: int) -> bool:
        """Return whether the prompt has the piece at least `times` times. Numbers, dates and languages may be written
        in another form.
        """
        if _holds(self.text, item.text, times):
            return True
        if item.kind is InvariantKind.LANGUAGE:
            return _language(item.text) in self._languages()
        return item.kind in (InvariantKind.NUMBER, InvariantKind.DATE) and self.values[_value(item)] >= times

    def mentions(self, item: Invariant) -> bool:
        """Return whether the prompt has the piece. Code, links, placeholders and quotations must be literal. Other
        pieces may have another wording.
        """
        small = folded(item.text)
        match item.kind:
            case InvariantKind.CODE | InvariantKind.LINK | InvariantKind.PLACEHOLDER | InvariantKind.QUOTATION:
                return _holds(self.text, item.text, 1)
            case InvariantKind.NUMBER | InvariantKind.DATE:
                return self.values[_value(item)] > 0 or small in self.low
            case InvariantKind.LANGUAGE:
                return _language(item.text) in self._languages()
            case InvariantKind.OPTIONS:
                return all(folded(option).split()[-1] in self.low for option in items_of(item.text))
            case InvariantKind.NEGATION:
                return self._negates(small)
            case InvariantKind.CONSTRAINT:
                stems = _stems(loose().sub("", small)) if small.isascii() else _stems(small)
                return 2 * sum(stem in self.low for stem in stems) > len(stems) or not stems
            case _:
                return self._names(small.removesuffix("s").rstrip("'’"))

    def _names(self, name: str) -> bool:
        """Return whether the prompt has the name, in any of its forms. "LCD displays" contains "LCDs", but "adapt" does
        not contain "Ada".
        """
        return any(
            re.search(_left(form) + re.escape(form) + r"s?['’]?" + _right(form), self.low) for form in _name_forms(name)
        )

    @property
    def values(self) -> Counter[str]:
        """Count the occurrences of each number and date, by value."""
        if self._values is None:
            numbers = [match[0] for match in NUMBER.finditer(self.text)]
            numbers += [match[0] for match in number_words().finditer(self.low)]
            dates = [self.low[start:end] for start, end in find_dates(self.low)]
            values = (*map(number_of, numbers), *map(date_of, dates))
            self._values = Counter(value for value in values if value is not None)
        return self._values

    def _languages(self) -> set[str]:
        return {_language(match[0]) for match in LANGUAGE.finditer(self.low)}

    def _negates(self, negation: str) -> bool:
        """Return whether the prompt negates one of the words after `negation`."""
        head = negating().match(negation)
        stems = _stems(negation[head.end() :] if head else negation)
        reaches = (self.low[match.end() : match.end() + NEGATED_CHARS] for match in negating().finditer(self.low))
        return any(not stems or any(stem in reach for stem in stems) for reach in reaches)


def _name_forms(name: str) -> Iterator[str]:
    """Yield the name, and its adjective or noun: Roman for Rome, Australia for Australian."""
    yield name
    core = _ADJECTIVE.sub("", name)
    if core != name and len(core) >= MIN_NAME_CHARS:
        yield from (core + end for end in ("", "a", "e", "ia", "y"))
    elif len(core := name.rstrip("aeioy")) >= MIN_NAME_CHARS:
        yield from (core + end for end in ("an", "ian", "ean", "ese", "ish"))


def _value(item: Invariant) -> str:
    read = number_of if item.kind is InvariantKind.NUMBER else date_of
    return read(item.text) or item.text


def _language(word: str) -> str:
    language = find_language(word, "en")
    return language[0] if language else word


def _stems(text: str) -> list[str]:
    """Return a rough stem of each word, the same for `format` and `formatted`. In Chinese, each pair of characters is a
    stem.
    """
    if text.isascii():
        return [word[:6] for word in _WORDS.findall(text)]
    return [text[place : place + 2] for place in range(len(text) - 1)] or [text]


def _holds(text: str, item: str, times: int) -> bool:
    """Return whether `item` occurs at least `times` times in the text. Parts of longer words or numbers do not
    count.
    """
    if text.count(item) < times:
        return False
    left, right = _left(item), _right(item)
    if not left and not right:
        return True
    return len(re.findall(left + re.escape(item) + right, text)) >= times


def _left(item: str) -> str:
    """Return a pattern to put before `item`. It does not match if `item` continues a longer word or number."""
    return r"(?<![A-Za-z0-9_])" if item[:1].isascii() and item[:1].isalnum() else ""


def _right(item: str) -> str:
    return r"(?![A-Za-z0-9_]|\.\d)" if item[-1:].isascii() and item[-1:].isalnum() else ""
