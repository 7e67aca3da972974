"""Generates training tasks from the patterns in `words/`."""

import hashlib
import random
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

FOLDER = Path(__file__).parent / "words"
OTHER = "other"
"""The kind of a sentence that asks for nothing: an introduction, a wish about the form of the answer, or a sentence of
a text.
"""
_CHOICE = re.compile(r"([(\[])([^()\[\]]*)[)\]]")
_SLOT = re.compile(r"\{(\w+)\}")


class TaskFrames(Struct, frozen=True, forbid_unknown_fields=True):
    """The sentences that can stand before and after a task."""

    before: tuple[str, ...]
    after: tuple[str, ...]


class TaskPatterns(Struct, frozen=True, forbid_unknown_fields=True):
    """The patterns of one language, by kind of task."""

    slots: Mapping[str, tuple[str, ...]]
    kinds: Mapping[str, tuple[str, ...]]
    frames: TaskFrames


class LabelledTask(Struct, frozen=True):
    """A generated task with its kind. `pattern` is the number of the pattern that generated the task. Cross-validation
    uses this number to leave out whole patterns.
    """

    text: str
    kind: str
    pattern: int


def patterns_of(language: str) -> TaskPatterns:
    """Return the patterns in `words/<language>.toml`."""
    return msgspec.convert(tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8")), TaskPatterns)


def digest() -> str:
    """Return a hash of all patterns."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(FOLDER.glob("*.toml")))).hexdigest()[:16]


def tasks(patterns: TaskPatterns, each: int, draw: random.Random) -> Iterator[LabelledTask]:
    """Generate at most `each` tasks from every pattern. Tasks of the kind `OTHER` stand alone. Of the other tasks, half
    stand alone and half stand in a frame. A pattern without a choice is used once in each way.
    """
    number = 0
    for kind, of_kind in patterns.kinds.items():
        for pattern in of_kind:
            number += 1
            plain = {expand(pattern, patterns.slots, draw) for _ in range(each)}
            for place, text in enumerate(sorted(plain) if len(plain) > 1 or kind == OTHER else [*plain] * 2):
                framed = text if place % 2 or kind == OTHER else _framed(text, patterns, draw)
                yield LabelledTask(framed if kind == OTHER else _ended(framed, draw), kind, number)


def expand(pattern: str, slots: Mapping[str, Sequence[str]], draw: random.Random) -> str:
    """Choose one of the alternatives at each choice in a pattern, and fill the slots."""
    while choice := _CHOICE.search(pattern):
        options = choice[2].split("|") if choice[1] == "(" or draw.random() < 0.5 else [""]
        pattern = pattern[: choice.start()] + draw.choice(options) + pattern[choice.end() :]
    while slot := _SLOT.search(pattern):
        pattern = pattern[: slot.start()] + draw.choice(slots[slot[1]]) + pattern[slot.end() :]
    return " ".join(pattern.split())


def _framed(text: str, patterns: TaskPatterns, draw: random.Random) -> str:
    """Put a task into a frame. A sentence that asks for nothing is sometimes added before or after it."""
    before, after = (expand(draw.choice(some), patterns.slots, draw) for some in _frames(patterns))
    joint = "" if not before or before.endswith(("，", "：", "。", "请")) or "一" <= before[-1] <= "鿿" else " "
    framed = f"{before}{joint}{text}"
    if after:
        framed = f"{framed} {after}" if after.isascii() else f"{framed}{after}"
    if draw.random() < 0.35:
        aside = expand(draw.choice(patterns.kinds[OTHER]), patterns.slots, draw)
        framed = draw.choice((f"{aside} {framed}", f"{framed} {aside}"))
    return framed if draw.random() < 0.5 else framed[:1].upper() + framed[1:]


def _ended(text: str, draw: random.Random) -> str:
    """Return the task, sometimes with another ending. Some tasks then end with a colon, and some without a mark."""
    chance = draw.random()
    if chance < 0.2:
        return f"{text.rstrip('.?。？')}{'：' if '一' <= text[0] <= '鿿' else ':'}"
    return text.rstrip(".。") if chance < 0.4 else text


def _frames(patterns: TaskPatterns) -> tuple[Sequence[str], Sequence[str]]:
    return patterns.frames.before, patterns.frames.after
