"""The gain table: the measured effect of rewriting for an intent with a model.

`foreword gains measure` writes the file, every worker reads it. A gain without enough data is
unknown, and the policy then decides as if there were no table.
"""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from gateway.atomic_file import locked, write_whole

log = logging.getLogger("foreword.gains")

SCHEMA = 1
FEWEST_PAIRS = 30
RESOLUTION = 0.05
"""A gain is known well enough if its interval reaches at most this far to either side."""
LOOK_AGAIN_S = 2.0


class Gain(Struct, frozen=True):
    """The mean difference in score, rewritten minus raw, over `pairs` pairs of answers, with its 95 % interval."""

    intent: str
    model: str
    pairs: int
    gain: float
    low: float
    high: float
    p: float = 1.0
    by: str = ""
    """The source of the scores: `checks`, `feedback`, `judge`, or several of them."""
    measured_s: float = 0.0
    """The time of the measurement, in seconds since 1970."""

    @property
    def suffices(self) -> bool:
        """Whether there is enough data to act on: the interval is narrow, or does not contain 0."""
        if self.pairs < FEWEST_PAIRS:
            return False
        return self.high - self.low <= 2 * RESOLUTION or self.low > 0 or self.high < 0

    @property
    def verdict(self) -> str:
        """`helps`, `leave it` or `unknown`."""
        if not self.suffices:
            return "unknown"
        return "helps" if self.low > 0 else "leave it"

    def __str__(self) -> str:
        return f"gain {self.gain:.2f} [{self.low:.2f}, {self.high:.2f}] over {self.pairs} pairs"


class _GainsFile(Struct):
    gains: tuple[Gain, ...] = ()
    schema: int = SCHEMA


Gains = dict[tuple[str, str], Gain]
"""The gains by intent and by the model's name at its backend."""


def gains_path(data_folder: Path) -> Path:
    return data_folder / "gains.json"


def read_gains(path: Path) -> Gains:
    """The table. A missing file is an empty table. Raises `OSError` or `msgspec.DecodeError`."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    table = msgspec.json.decode(data, type=_GainsFile)
    if table.schema != SCHEMA:
        raise msgspec.ValidationError(f"it has schema {table.schema}; this version knows {SCHEMA}")
    return {(gain.intent, gain.model): gain for gain in table.gains}


def write_gains(path: Path, measured: Sequence[Gain]) -> None:
    """Add these gains to the table. A new gain replaces that of the same intent and model."""
    with locked(path):
        gains = read_gains(path) | {(gain.intent, gain.model): gain for gain in measured}
        data = msgspec.json.encode(_GainsFile(tuple(gains[key] for key in sorted(gains))))
        write_whole(path, msgspec.json.format(data, indent=1).decode() + "\n")


class GainTable:
    """The content of the file, read again after each change. If the file is broken, the last good content is used."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._gains: Gains = {}
        self._seen: tuple[int, int, int] | None = None
        self._look_at = -1.0

    def of(self, intent: str, model: str) -> Gain | None:
        """The gain of an intent with a model; None if it was not measured."""
        return self._current().get((intent, model))

    def _current(self) -> Gains:
        now = self._clock()
        if now < self._look_at:
            return self._gains
        self._look_at = now + LOOK_AGAIN_S
        seen = _stamp(self._path)
        if seen != self._seen:
            self._seen = seen
            try:
                self._gains = read_gains(self._path)
            except (OSError, msgspec.MsgspecError) as error:
                log.error("the gain table %s cannot be read, its last content stays in use: %s", self._path, error)
        return self._gains


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
