"""Generates training tasks from the patterns in `words/`."""

import hashlib
import random
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.context.task import classes

CLASSES = classes.FILE
FOLDER = Path(__file__).parent / "words"
OTHER = "other"
"""The kind of a sentence that asks for nothing: an introduction, a wish about the form of the answer, or a sentence of
a text.
"""
COPIES = 4
"""A pattern without a choice gives this many tasks, half of them in a frame."""
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
    asides: tuple[str, ...] = ()
    """The sentences of the kind `OTHER` that can stand beside a task in a frame: no lines of texts."""


class LabelledTask(Struct, frozen=True):
    """A generated task with its kind. `pattern` is the number of the pattern that generated the task. Cross-validation
    uses this number to leave out whole patterns.
    """

    text: str
    kind: str
    pattern: int


def patterns_of(language: str) -> TaskPatterns:
    """Return the patterns in `words/<language>.toml` and in `words/requests/<language>/<kind>.txt`."""
    patterns = msgspec.convert(tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8")), TaskPatterns)
    kinds = dict(patterns.kinds)
    for file in sorted((FOLDER / "requests" / language).glob("*.txt")):
        kinds[file.stem] = (*kinds[file.stem], *filter(None, file.read_text("utf-8").splitlines()))
    return replace(patterns, kinds=kinds, asides=patterns.kinds[OTHER])


def digest() -> str:
    """Return a hash of all patterns, and of the classes that the features of the head depend on."""
    files = [CLASSES, *sorted([*FOLDER.rglob("*.toml"), *FOLDER.rglob("*.txt")])]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def tasks(patterns: TaskPatterns, each: int, seed: int) -> Iterator[LabelledTask]:
    """Generate at most `each` tasks from every pattern. Tasks of the kind `OTHER` stand alone. Of the other tasks, half
    stand alone and half stand in a frame.

    Each pattern has its own random numbers, so that a new pattern does not change the tasks of the others.
    """
    number = 0
    for kind, of_kind in patterns.kinds.items():
        for pattern in of_kind:
            number += 1
            draw = random.Random(f"{seed} {pattern}")
            plain = {expand(pattern, patterns.slots, draw) for _ in range(each)}
            for place, text in enumerate(sorted(plain) if len(plain) > 1 or kind == OTHER else [*plain] * COPIES):
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
        aside = expand(draw.choice(patterns.asides), patterns.slots, draw)
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
