"""The gain table, which shows how much each template's text helps each model.

`foreword gains measure` writes the table's file, and every worker reads the file. A row with too little data counts as
unknown. The package has a table for the default model. A row in the data folder replaces the package's row for the same
text, language and model.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import NormalDist

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.disk.atomic_file import locked, write_whole
from gateway.errors import ForewordError
from gateway.prompt.policy.reread import RereadFile

log = logging.getLogger("foreword.gains")

SCHEMA = 2
FEWEST_PAIRS = 20
RESOLUTION = 0.05
"""A gain is known precisely enough if no bound of its interval is farther than this from the gain."""
ALPHA = 0.05
"""The probability that at least one row of a table seems to help or to harm by chance alone.

The probability is divided among the rows (Bonferroni).
"""
SHIPPED = Path(__file__).parent / "shipped_gains.json"
OLD = "its rows are for intents (schema 1); rows are for templates now, so measure again: foreword gains measure"


class OldGainTable(ForewordError):
    """The file is from an earlier version, which had rows for intents. These rows do not show which template text was
    measured.
    """


class Gain(Struct, frozen=True):
    """The mean difference between scores of rewritten and raw answers, over `pairs` pairs. Positive gains favour the
    rewrite.

    `low` and `high` are the bounds of the gain's interval, corrected for the number of rows in the table.
    """

    text: str
    """The digest of the template's text (`Template.text_digest`)."""
    language: str
    model: str
    """The name that the backend uses for the model."""
    pairs: int
    gain: float
    low: float
    high: float
    p: float = 1.0
    """The p-value for the hypothesis that there is no difference. It is not corrected for the number of rows."""
    by: str = ""
    """The source of the scores: `right answers`, `client's checks`, `blind verdicts`, `judge`, or several of these."""
    template: str = ""
    """The template's `id@version` at the time of the measurement. It is only shown to people."""
    intent: str = ""
    rows: int = 1
    """The number of rows in the table when the interval was last corrected."""
    spread: float = 0.0
    """The standard deviation of the differences between the scores."""
    measured_s: float = 0.0
    """The time of the measurement, in seconds since 1970."""

    @property
    def suffices(self) -> bool:
        """Return whether there is enough data for a decision: the interval is narrow, or it excludes 0."""
        if self.pairs < FEWEST_PAIRS:
            return False
        if self.high - self.low <= 2 * RESOLUTION:
            return True
        return (self.low > 0 or self.high < 0) and self.p * self.rows < ALPHA

    @property
    def verdict(self) -> str:
        if not self.suffices:
            return "unknown"
        return "helps" if self.low > 0 else "leave it"

    def __str__(self) -> str:
        return f"gain {self.gain:.2f} [{self.low:.2f}, {self.high:.2f}] over {self.pairs} pairs"


class _GainsFile(Struct):
    gains: tuple[Gain, ...] = ()
    schema: int = SCHEMA


class _Schema(Struct):
    schema: int = 1


GainKey = tuple[str, str, str]
"""The digest of a template's text, the template's language, and the backend's name for the model."""
Gains = dict[GainKey, Gain]


def gains_path(data_folder: Path) -> Path:
    return data_folder / "gains.json"


def key_of(gain: Gain) -> GainKey:
    return gain.text, gain.language, gain.model


def read_gains(path: Path) -> Gains:
    """Read the table. Return an empty table if the file does not exist.

    Raises `OldGainTable`, `OSError` or `msgspec.DecodeError`.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    schema = msgspec.json.decode(data, type=_Schema).schema
    if schema < SCHEMA:
        raise OldGainTable(f"{path}: {OLD}")
    if schema > SCHEMA:
        raise msgspec.ValidationError(f"it has schema {schema}; this version knows {SCHEMA}")
    return {key_of(gain): gain for gain in msgspec.json.decode(data, type=_GainsFile).gains}


def write_gains(path: Path, measured: Sequence[Gain]) -> Gains:
    """Add these rows to the table, correct all intervals for the new number of rows, and return the table.

    An added row replaces the row for the same text, language and model. The file of an earlier version is first renamed
    to `gains.json.schema-1`.
    """
    with locked(path):
        try:
            gains = read_gains(path)
        except OldGainTable as old:
            log.warning("%s; it is kept as %s", old, _aside(path).name)
            path.replace(_aside(path))
            gains = {}
        gains |= {key_of(gain): gain for gain in measured}
        gains = corrected(gains)
        data = msgspec.json.encode(_GainsFile(tuple(gains[key] for key in sorted(gains))))
        write_whole(path, msgspec.json.format(data, indent=1).decode() + "\n")
    return gains


def corrected(gains: Gains, dropped: int = 0) -> Gains:
    """Return the rows with intervals at the level `1 - ALPHA / rows` (Bonferroni), by Student's t.

    `dropped`, the number of texts that were measured but have no row, is added to the number of rows.
    """
    return {key: _corrected(gain, len(gains) + dropped) for key, gain in gains.items()}


def _corrected(gain: Gain, rows: int) -> Gain:
    if gain.pairs < 2:
        return replace(gain, rows=rows, low=-1.0, high=1.0)
    half = t_quantile(1 - ALPHA / (2 * rows), gain.pairs - 1) * gain.spread / math.sqrt(gain.pairs)
    low, high = max(-1.0, gain.gain - half), min(1.0, gain.gain + half)
    return replace(gain, rows=rows, low=round(low, 4), high=round(high, 4))


def t_quantile(share: float, freedom: int) -> float:
    """Return the quantile of Student's t-distribution for a probability above 0.5.

    The approximation is the expansion in Abramowitz & Stegun 26.7.5. With at least 10 degrees of freedom and
    probabilities up to 0.9995, its error is below 1 %.
    """
    z, n = NormalDist().inv_cdf(share), freedom
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.schema-1")


class GainTable:
    """The rows of the gain table's file. The file is read again after each change.

    While the file is broken, the last readable rows stay in use. `shipped` is a second table, for texts and models that
    have no row in the file.
    """

    def __init__(
        self, path: Path, clock: Callable[[], float] = time.monotonic, shipped: Mapping[GainKey, Gain] | None = None
    ) -> None:
        self._shipped = dict(shipped or {})
        self._file: RereadFile[Gains] = RereadFile(path, dict(self._shipped), self._read, clock)

    def of(self, text: str, language: str, model: str) -> Gain | None:
        """Return the measured gain of a template's text with a model, or None if it was not measured."""
        return self._file.current().get((text, language, model))

    def _read(self, path: Path) -> Gains | None:
        try:
            return self._shipped | read_gains(path)
        except OldGainTable as old:
            log.warning("the gain table is not used: %s", old)
        except (OSError, msgspec.MsgspecError) as error:
            log.error("the gain table %s cannot be read, its last content stays in use: %s", path, error)
        return None


def shipped_gains() -> Gains:
    """Return the table that comes with the package. It was measured with the default model."""
    return read_gains(SHIPPED)


def known_gains(path: Path) -> Gains:
    """Return the rows of the package and of the file. Where both have a row, the row of the file is used.

    A file of an earlier version counts as empty.
    """
    try:
        return shipped_gains() | read_gains(path)
    except OldGainTable:
        return shipped_gains()
