"""Cuts the texts of a compression into windows of tokens: some for calibration, others for evaluation."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from msgspec import Struct

from gateway.backends.local.variants import TextDigest
from offline_jobs.compress.measure import tokens_of
from offline_jobs.compress.schemes import CompressOptions
from offline_jobs.errors import JobFailed

CHARACTERS_A_TOKEN = 16
"""The most characters to read for each token that is needed."""


class Windows(Struct, frozen=True):
    """Windows of one length, as token numbers."""

    calibrate: list[list[int]]
    evaluate: list[list[int]]


@dataclass(frozen=True)
class _Cut:
    """Cuts windows. `first` is the token that begins each of them, if the model needs one."""

    tokens: int
    first: int | None

    def windows(self, tokens: list[int], count: int, *, from_end: bool) -> list[list[int]]:
        room = self.tokens - (self.first is not None)
        most = len(tokens) // room
        if most < count:
            raise JobFailed(f"the text has {len(tokens):,} tokens, and {count} windows of {room} are needed")
        start = len(tokens) - count * room if from_end else 0
        begin = [] if self.first is None else [self.first]
        return [begin + tokens[at : at + room] for at in range(start, start + count * room, room)]


def read_windows(options: CompressOptions, root: Path, model: Path, check: Callable[[], None]) -> Windows:
    """Read and cut the texts. Raises `JobFailed` if a text cannot be read or is too short."""
    text = _text(root / options.text)
    needed = options.window_tokens * (options.windows + options.evaluated)
    if options.evaluate:
        learned = tokens_of(model, text[: needed * CHARACTERS_A_TOKEN], check)
        other = tokens_of(model, _text(root / options.evaluate)[: needed * CHARACTERS_A_TOKEN], check)
        cut = _Cut(options.window_tokens, learned.first)
        return Windows(
            cut.windows(learned.tokens, options.windows, from_end=False),
            cut.windows(other.tokens, options.evaluated, from_end=False),
        )
    tokens = tokens_of(model, text[: needed * CHARACTERS_A_TOKEN], check)
    cut = _Cut(options.window_tokens, tokens.first)
    cut.windows(tokens.tokens, options.windows + options.evaluated, from_end=False)  # raises if they would overlap
    return Windows(
        cut.windows(tokens.tokens, options.windows, from_end=False),
        cut.windows(tokens.tokens, options.evaluated, from_end=True),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise JobFailed(f"the text {path} cannot be read: {error}") from error


def digest_of_windows(windows: list[list[int]]) -> TextDigest:
    raw = np.array(windows, "<i4").tobytes()
    return TextDigest(sha256(raw).hexdigest(), sum(map(len, windows)))
