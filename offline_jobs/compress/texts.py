"""Cuts texts into windows of tokens for calibration, evaluation and training."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from msgspec import Struct

from gateway.backends.local.variants import TextDigest
from gateway.settings.tables import Settings
from offline_jobs.compress.measuring.measure import TextTokens, tokens_of
from offline_jobs.compress.schemes import CompressOptions, plan_of
from offline_jobs.datasets.dataset import find
from offline_jobs.errors import JobFailed

CHARACTERS_A_TOKEN = 16
"""The number of characters to read for each required token."""


class TextWindows(Struct, frozen=True):
    """Windows of equal length, as token ids."""

    calibrate: list[list[int]]
    evaluate: list[list[int]]
    train: list[list[int]] = []


@dataclass(frozen=True)
class _WindowCutter:
    """Cuts tokens into windows. If `first` is not None, each window begins with this token."""

    tokens: int
    first: int | None

    def windows(self, tokens: list[int], count: int, *, from_end: bool) -> list[list[int]]:
        room = self.tokens - (self.first is not None)
        most = len(tokens) // room
        if most < count:
            raise JobFailed(f"the text has {len(tokens):,} tokens; {count} windows of {room} tokens are needed")
        start = len(tokens) - count * room if from_end else 0
        begin = [] if self.first is None else [self.first]
        return [begin + tokens[at : at + room] for at in range(start, start + count * room, room)]


def read_windows(options: CompressOptions, settings: Settings, model: Path, check: Callable[[], None]) -> TextWindows:
    """Read the texts and cut them. Raises `JobFailed` if a text cannot be read or is too short."""
    root, learning = settings.root, _learning_windows(options)
    needed = max(options.windows, learning) + (0 if options.evaluate else options.evaluated)
    tokens = _tokens(model, root / options.text, needed * options.window_tokens, check)
    cut = _WindowCutter(options.window_tokens, tokens.first)
    calibrate = cut.windows(tokens.tokens, options.windows, from_end=False)
    if options.evaluate:
        other = _tokens(model, root / options.evaluate, options.evaluated * options.window_tokens, check)
        evaluate, left = cut.windows(other.tokens, options.evaluated, from_end=False), tokens.tokens
    else:
        # raises an error if the two parts would overlap
        cut.windows(tokens.tokens, options.windows + options.evaluated, from_end=False)
        evaluate = cut.windows(tokens.tokens, options.evaluated, from_end=True)
        left = tokens.tokens[: -options.evaluated * options.window_tokens]
    if options.dataset:
        left = tokens_of(model, _recorded(settings, options.dataset), check).tokens
    train = cut.windows(left, min(learning, len(left) // options.window_tokens), from_end=False)
    return TextWindows(calibrate, evaluate, train)


def _learning_windows(options: CompressOptions) -> int:
    """Return the number of training windows, one per step. Returns 0 if the plan does not train."""
    tuning = plan_of(options).tuning
    return max(tuning.steps, tuning.layer_steps)


def _tokens(model: Path, file: Path, needed: int, check: Callable[[], None]) -> TextTokens:
    return tokens_of(model, _text(file)[: needed * CHARACTERS_A_TOKEN], check)


def _recorded(settings: Settings, name: str) -> str:
    """Return the questions and right answers of a dataset as one text."""
    rows = find(settings.data_folder, name).read()
    return "\n\n".join(f"{row.query}\n{row.wanted}" for row in rows)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise JobFailed(f"the text {path} cannot be read: {error}") from error


def digest_of_windows(windows: list[list[int]]) -> TextDigest:
    raw = np.array(windows, "<i4").tobytes()
    return TextDigest(sha256(raw).hexdigest(), sum(map(len, windows)))
