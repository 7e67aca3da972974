"""Computes the features of a task. The words of the task are hashed into a fixed number of columns."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from gateway.ports import Vectors

COLUMNS = 8192
HEAD_WORDS, TAIL_WORDS = 60, 30
HEAD_CHARS, TAIL_CHARS = 80, 40
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?|\d+|[?？:：]")
_NAME = re.compile(r"(?<=[\w,;] )[A-Z][\w.’'-]*")
"""A word within a sentence that begins with a capital letter. A task that names such things is often about one place of
the text.
"""
MOST_NAMES = 3
_BLANK, _DIGITS = re.compile(r"\s+"), re.compile(r"\d+")
_SENTENCE = re.compile(r"(?<=[.!?;:])\s+(?=\S)|(?<=[。！？；：\n])(?=\S)")
SHORTEST = 3
"""The minimum length, in characters, of a sentence that is classified on its own."""


def columns(text: str, *, spaced: bool) -> set[int]:
    """Return the columns of the tokens in a text. In a language without spaces, runs of one to three characters replace
    the words.
    """
    return {crc32(token.encode()) % COLUMNS for token in (_spaced if spaced else _dense)(text)}


def rows(texts: list[str], *, spaced: bool) -> Vectors:
    """Return the features of the texts as an array [texts, COLUMNS]. Each row is a vector of length 1."""
    import numpy as np

    made = np.zeros((len(texts), COLUMNS), np.float32)
    for row, text in enumerate(texts):
        own = sorted(columns(text, spaced=spaced))
        if own:
            made[row, own] = len(own) ** -0.5
    return made


def sentences(text: str) -> list[str]:
    """Return the sentences of a task. Sentences that are too short are left out."""
    return [part for part in map(str.strip, _SENTENCE.split(text.strip())) if len(part) >= SHORTEST]


def _spaced(text: str) -> Iterator[str]:
    yield f"<names {min(MOST_NAMES, len(_NAME.findall(text)))}>"
    text = text.lower()
    words = ["#" if word.isdigit() else word.replace("’", "'") for word in _WORD.findall(text)]
    if len(words) > HEAD_WORDS + TAIL_WORDS:
        words = words[:HEAD_WORDS] + words[-TAIL_WORDS:]
    yield from words
    yield from map(" ".join, itertools.pairwise(words))
    yield from (f"^{' '.join(words[:count])}" for count in (1, 2) if len(words) >= count)
    yield f"<length {min(6, (len(words) + 1).bit_length())}>"
    yield f"<ends {text.rstrip()[-1:]}>"


def _dense(text: str) -> Iterator[str]:
    dense = _DIGITS.sub("#", _BLANK.sub("", text.lower()))
    if len(dense) > HEAD_CHARS + TAIL_CHARS:
        dense = dense[:HEAD_CHARS] + dense[-TAIL_CHARS:]
    for size in (1, 2, 3):
        yield from (dense[start : start + size] for start in range(len(dense) - size + 1))
    yield from (f"^{dense[:count]}" for count in (1, 2) if len(dense) >= count)
    yield f"<length {min(6, (len(dense) // 2 + 1).bit_length())}>"
    yield f"<ends {dense[-1:]}>"
