"""Compares a refined prompt with the client's prompt. Finds additions that change the task, and words that were
exchanged.

A refiner may add advice ("with examples"). It may not add a name, number, link, quotation, language, negation, limit or
format. It may not exchange one word for another, such as *paris* for *London*. `guards.changed` checks that the pieces
of the client's prompt survive.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

from gateway.prompt.guards import RewrittenPrompt
from gateway.prompt.language.invariants import InvariantKind, items, negating
from gateway.prompt.language.vocabulary import VOCABULARY, Derived, LanguageWords, any_of, folded

SHORT_WORDS = 4
"""If a prompt has at most this many content words, a new word counts as the replacement of an old word when the two
have one neighbour in common. In a longer prompt, they must have both neighbours in common.
"""
TINY_WORDS = 2
"""In a prompt with at most this many content words, the start and end of the text count as neighbours."""
COMPARED_WORDS = 12
"""Words are compared only in prompts with at most this many content words."""
LIMITED_WORDS = 30
"""In a prompt with more words than this, a refiner may add a limit such as `only`."""
COMPARED_CHARACTERS = 24
"""In a language without blanks between words, prompts are compared only if they have at most this many characters. The
limit takes the place of `COMPARED_WORDS`.
"""
STEM_CHARS = 4
"""Two forms of a word must have at least this many first characters in common."""

_NEW = frozenset(
    (
        InvariantKind.DATE,
        InvariantKind.FORMAT,
        InvariantKind.LANGUAGE,
        InvariantKind.LINK,
        InvariantKind.NAME,
        InvariantKind.NEGATION,
        InvariantKind.NUMBER,
        InvariantKind.QUOTATION,
    )
)
_TOP = "com|net|org|io|co|info|biz|app|dev|shop|site|xyz|me|ai|cn|de|fr|uk|ru|jp|eu"
_DOMAIN = re.compile(rf"(?<![\w@])(?:www\.)?[a-z][a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:{_TOP})(?!\w)")
_WORD = re.compile(r"[^\W\d_]{3,}")
_COUNT = re.compile(r"[二两三四五六七八九十百千]+(?=[本个条种点句段首篇项位步道张家部次天行字])")
"""A Chinese numeral before a measure word. 一 is left out, since it is mostly used as an article."""
_ARTICLE = "一"
_ORDINALS = re.compile(r"^\s*\d{1,2}[.)]\s", re.MULTILINE)


def added(original: str, refined: str, language: str) -> tuple[str, ...]:
    """Return the pieces that the refiner added and that change the task."""
    before = RewrittenPrompt(original)
    listed = _ORDINALS.sub("", refined)
    return tuple(
        dict.fromkeys((*_new_items(before, listed, language), *_new_wordings(before.low, folded(listed), language)))
    )


def exchanged(original: str, refined: str, language: str) -> tuple[str, ...]:
    """Return the client's words that the refined prompt replaces with other words. Only short prompts are compared."""
    words = VOCABULARY[language]
    if not words.spaced:
        return _lost_characters(folded(original), folded(refined), words)
    content = _content(original, language)
    return _replaced(content, _content(refined, language)) if len(content) <= COMPARED_WORDS else ()


def _content(text: str, language: str) -> list[str]:
    return [word for word in _WORD.findall(folded(text)) if not _loose()[language].fullmatch(word)]


def _replaced(before: list[str], after: list[str]) -> tuple[str, ...]:
    """Return the words of `before` that a new word in `after` has replaced.

    A new word has replaced an old word if the old word is gone and the two words have the same neighbours.
    """
    ends = len(before) <= TINY_WORDS
    own, first = set(after), set(before)
    new = [_beside(after, place) for place, word in enumerate(after) if not _is_among(word, first)]
    gone = [not _is_among(word, own) for word in before]
    needed = [
        1 if len(before) <= SHORT_WORDS or any(gone[max(0, i - 1) : i]) or any(gone[i + 1 : i + 2]) else 2
        for i in range(len(before))
    ]
    return tuple(
        word
        for place, word in enumerate(before)
        if gone[place] and any(_shared(_beside(before, place), others, ends=ends) >= needed[place] for others in new)
    )


def _beside(words: list[str], place: int) -> tuple[str, str]:
    return words[place - 1] if place else "", words[place + 1] if place + 1 < len(words) else ""


def _shared(sides: tuple[str, str], others: tuple[str, str], *, ends: bool) -> int:
    return sum(_same(side, other) for side, other in zip(sides, others, strict=True) if side or ends)


def _same(word: str, other: str) -> bool:
    """Return whether two neighbours are forms of one word. An end of the text is written "", and equals only ""."""
    return word == other or bool(word and other and _is_among(word, {other}))


def _new_items(before: RewrittenPrompt, refined: str, language: str) -> Iterator[str]:
    for item in items(refined):
        if item.kind not in _NEW or before.mentions(item):
            continue
        if item.kind in (InvariantKind.QUOTATION, InvariantKind.NAME) and _are_in(item.text, before.low):
            continue
        if item.kind is InvariantKind.FORMAT and _loose()[language].fullmatch(folded(item.text)):
            continue
        if item.kind is InvariantKind.NEGATION and negating().fullmatch(folded(item.text)):
            continue  # "if not, why not?" does not negate a word
        if item.text == _ARTICLE:
            continue  # 一 in "一步一步" and "一下" is not a count
        yield item.text


def _are_in(text: str, low: str) -> bool:
    """Return whether a name or quotation comes from the client's words. At least half of its words must be the
    client's, or it must be an abbreviation of the client's words. A refiner may capitalise, quote or abbreviate these.
    """
    words = _WORD.findall(folded(text))
    own = set(_WORD.findall(low))
    initials = "".join(word[0] for word in re.findall(r"[^\W\d_]+", low))
    return 2 * sum(_is_among(word, own) for word in words) >= len(words) > 0 or (
        text.isupper() and folded(text) in initials
    )


def _new_wordings(before: str, refined: str, language: str) -> Iterator[str]:
    short = len(_WORD.findall(before)) <= LIMITED_WORDS
    for pattern in (_DOMAIN, _limits()[language])[: 1 + short]:
        yield from (match[0] for match in pattern.finditer(refined) if match[0] not in before)


def _is_among(word: str, words: set[str]) -> bool:
    """Return whether a form of the word is among the words, such as "planning" for "plan" and "tcps" for "tcp"."""
    word = word.removesuffix("s")
    stem = word[: max(STEM_CHARS, len(word) - 3)][:6]
    return any(other.startswith(stem) or (len(other) >= STEM_CHARS and word.startswith(other)) for other in words)


def _lost_characters(before: str, refined: str, words: LanguageWords) -> tuple[str, ...]:
    """Return the client's runs of characters that the refined prompt lacks, in a language without blanks. Words that a
    paraphrase may replace are left out.
    """
    rest = any_of(words.refine.loose).sub(" ", before)
    runs = re.findall(r"[^\W\d_a-z]{2,}|[a-z]{2,}", rest)
    if sum(map(len, runs)) > COMPARED_CHARACTERS:
        return ()
    counts = (match[0] for match in _COUNT.finditer(before) if match[0] not in refined)
    return (*(run for run in runs if _is_lost(run, refined)), *counts)


def _is_lost(run: str, refined: str) -> bool:
    """Return whether the refined prompt lacks a run. A Latin run must occur as a whole. Any other run is lost if two of
    its neighbouring characters do not occur.
    """
    if run.isascii():
        return run not in refined
    gone = [character not in refined for character in run]
    return any(map(all, pairwise(gone)))


_loose = Derived(lambda: {language: any_of(words.refine.loose) for language, words in VOCABULARY.items()})
_limits = Derived(
    lambda: {
        language: any_of(words.whole((pattern,)) for pattern in words.refine.limits)
        for language, words in VOCABULARY.items()
    }
)
