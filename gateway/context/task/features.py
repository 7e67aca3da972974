"""Computes the features of a task. The words of the task are hashed into a fixed number of columns."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from zlib import crc32

from gateway.context.task.classes import is_sign, with_names, with_signs

COLUMNS = 16384
HEAD_WORDS, TAIL_WORDS = 60, 30
HEAD_CHARS, TAIL_CHARS = 80, 40
_WORD = re.compile(r"<[a-z]+>|[^\W\d_]+(?:['’][^\W\d_]+)?|\d+|[?？:：]")
_NAME = re.compile(r"(?<=[\w,;] )[A-Z][\w.’'-]*")
"""A word within a sentence that begins with a capital letter. A task that names such things is often about one place of
the text.
"""
MOST_NAMES = 3
_BLANK, _DIGITS = re.compile(r"\s+"), re.compile(r"\d+")
_SENTENCE = re.compile(r"(?<=[.!?;:])\s+(?=\S)|(?<=[。！？；：\n])(?=\S)")
SHORTEST = 3
"""The minimum length, in characters, of a sentence that is classified on its own."""


def scale(own: Sequence[int]) -> float:
    """Return the value of each of a text's columns, with which its features have the length 1."""
    return float(max(1, len(own)) ** -0.5)


def columns(text: str, *, spaced: bool) -> list[int]:
    """Return the columns of the tokens in a text. In a language without spaces, runs of one to three characters replace
    the words.
    """
    return sorted({crc32(token.encode()) % COLUMNS for token in (_spaced if spaced else _dense)(text)})


def sentences(text: str) -> list[str]:
    """Return the sentences of a task. Sentences that are too short are left out."""
    return [part for part in map(str.strip, _SENTENCE.split(text.strip())) if len(part) >= SHORTEST]


def _spaced(text: str) -> Iterator[str]:
    yield f"<names {min(MOST_NAMES, len(_NAME.findall(text)))}>"
    text = text.lower().replace("’", "'")
    words = _words(text)
    yield from words
    yield from map(" ".join, itertools.pairwise(words))
    yield from (f"^{' '.join(words[:count])}" for count in (1, 2) if len(words) >= count)
    yield f"<length {min(6, (len(words) + 1).bit_length())}>"
    yield f"<ends {text.rstrip()[-1:]}>"
    named = _words(with_names(text))
    yield from (word for word in named if word[0] == "<")
    yield from (" ".join(pair) for pair in itertools.pairwise(named) if "<" in pair[0] + pair[1])
    yield from (f"^{word}" for word in named[:1] if word[0] == "<")


def _words(text: str) -> list[str]:
    words = ["#" if word.isdigit() else word for word in _WORD.findall(text)]
    if len(words) > HEAD_WORDS + TAIL_WORDS:
        return words[:HEAD_WORDS] + words[-TAIL_WORDS:]
    return words


def _dense(text: str) -> Iterator[str]:
    closed = _BLANK.sub("", text.lower())
    if len(closed) > HEAD_CHARS + TAIL_CHARS:
        closed = closed[:HEAD_CHARS] + closed[-TAIL_CHARS:]
    dense = _DIGITS.sub("#", closed)
    for size in (1, 2, 3):
        yield from _runs(dense, size)
        yield from filter(is_sign, _runs(_DIGITS.sub("#", with_signs(closed)), size))
    yield from (f"^{dense[:count]}" for count in (1, 2) if len(dense) >= count)
    yield f"<length {min(6, (len(dense) // 2 + 1).bit_length())}>"
    yield f"<ends {dense[-1:]}>"


def _runs(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(len(text) - size + 1))
