"""Which of two versions of a template is better, or is a template better than none: what the records say.

Scores come from feedback, and from a template's checks where the caller hands in how to apply them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from gateway.errors import BadRequest
from gateway.exchange import Arm
from gateway.records.scores import DIGITS, FEWEST, WORTHWHILE, Z95, Difference, Scores, difference
from gateway.records.spoken_record import SpokenRecord, read_told

if TYPE_CHECKING:  # SQLAlchemy comes with it, and whoever serves this imports it at start
    from gateway.records.database import Database, SpokenAnswer

RAW = "raw"
REF = re.compile(r"([a-z0-9]+(?:[._-][a-z0-9]+)*)@(\d{1,9})")
LEVEL = 0.05
SEED = 20_260_101

ScoreText = Callable[[str], float | None]
"""An answer's text to the share of a template's checks that it passes; None: there are none to pass."""


class ComparedVersion(Struct, frozen=True):
    """One version of a template; with `held` the answers of its controls, which it did not speak to."""

    id: str
    version: int
    held: bool = False

    def __str__(self) -> str:
        return f"{RAW} ({self.id}@{self.version} held back)" if self.held else f"{self.id}@{self.version}"


class Mean(Struct):
    """A running mean with the half of its 95 % interval."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """The sum of squared distances to the mean (Welford)."""

    def add(self, value: float) -> None:
        self.n += 1
        delta = value - self.mean
        self.mean += delta / self.n
        self.squares += delta * (value - self.mean)

    @property
    def half(self) -> float:
        return Z95 * math.sqrt(self.squares / (self.n - 1) / self.n) if self.n > 1 else math.inf

    def __str__(self) -> str:
        if not self.n:
            return "-"
        return f"{self.mean:.1f}" + (f" ± {self.half:.1f}" if math.isfinite(self.half) else "")


class Side(Struct):
    """What the records have of one of the two."""

    exchanges: int = 0
    first_s: float = math.inf
    last_s: float = -math.inf
    feedback: Counter[float] = msgspec.field(default_factory=Counter)
    checks: Counter[float] = msgspec.field(default_factory=Counter)
    prompt_tokens: Mean = msgspec.field(default_factory=Mean)
    completion_tokens: Mean = msgspec.field(default_factory=Mean)
    milliseconds: Mean = msgspec.field(default_factory=Mean)


class Better(StrEnum):
    """Which of the two."""

    A = "a"
    B = "b"
    ALIKE = "alike"
    UNKNOWN = "unknown"


class ScoreMeasure(Struct, frozen=True):
    """One kind of score on both sides. `difference` is A less B; None where a side has no score.

    `said` is the verdict in words.
    """

    name: str
    n_a: int
    n_b: int
    mean_a: float | None
    mean_b: float | None
    difference: Difference | None
    better: Better
    said: str

    def __str__(self) -> str:
        found = self.difference
        return self.said + (f", p = {found.p:.3f} ({found.method})" if found else "")


class VersionComparison(Struct, frozen=True):
    """A and B side by side."""

    a: ComparedVersion
    b: ComparedVersion
    side_a: Side
    side_b: Side
    measures: tuple[ScoreMeasure, ...]
    cautions: tuple[str, ...] = ()


def rows_of(found: VersionComparison) -> list[tuple[str, str, str]]:
    """The figures as lines of a table: what, of A, of B."""
    a, b = found.side_a, found.side_b
    rows = [("answers", f"{a.exchanges:,}", f"{b.exchanges:,}")]
    for one in found.measures:
        rows.append((f"{one.name}: scores", f"{one.n_a:,}", f"{one.n_b:,}"))
        rows.append((f"{one.name}: mean", _score(one.mean_a), _score(one.mean_b)))
    rows.append(("prompt tokens", str(a.prompt_tokens), str(b.prompt_tokens)))
    rows.append(("answer tokens", str(a.completion_tokens), str(b.completion_tokens)))
    rows.append(("ms", str(a.milliseconds), str(b.milliseconds)))
    return rows


def _score(mean: float | None) -> str:
    return "-" if mean is None else f"{mean:.3f}"


def as_json(found: VersionComparison) -> bytes:
    """The comparison as a JSON object; what is unknown is null."""
    sides = {"a": (found.a, found.side_a), "b": (found.b, found.side_b)}
    return msgspec.json.encode(
        {
            **{name: _shown(version, side) for name, (version, side) in sides.items()},
            "measures": found.measures,
            "cautions": found.cautions,
        }
    )


def _shown(version: ComparedVersion, side: Side) -> dict[str, object]:
    means = {name: getattr(side, name) for name in ("prompt_tokens", "completion_tokens", "milliseconds")}
    return {
        "version": str(version),
        "exchanges": side.exchanges,
        "from_s": side.first_s,
        "to_s": side.last_s,
        **{name: {"n": one.n, "mean": one.mean, "plus_minus": one.half} for name, one in means.items()},
    }


def read_versions(a: str, b: str) -> tuple[ComparedVersion, ComparedVersion]:
    """`id@version` twice, or once beside `raw`. Raises `BadRequest`."""
    if a == RAW and b == RAW:
        raise BadRequest("Compare a version with raw, not raw with itself.", param="b")
    if b == RAW:
        version = _version(a, "a")
        return version, msgspec.structs.replace(version, held=True)
    if a == RAW:
        version = _version(b, "b")
        return msgspec.structs.replace(version, held=True), version
    first, second = _version(a, "a"), _version(b, "b")
    if first == second:
        raise BadRequest(f"{a} is compared with itself.", param="b")
    return first, second


def _version(text: str, param: str) -> ComparedVersion:
    found = REF.fullmatch(text)
    if found is None:
        raise BadRequest(f"{text!r} is no version; write id@version, such as summarise.en@3, or raw.", param=param)
    return ComparedVersion(found[1], int(found[2]))


def compare(
    database: Database,
    a: ComparedVersion,
    b: ComparedVersion,
    *,
    since_s: float = 0.0,
    score_text: ScoreText | None = None,
) -> VersionComparison:
    """Read through the answers once. Blocking; what it keeps does not grow with their number."""
    side_a, side_b = Side(), Side()
    arms = (Arm.STABLE, Arm.CANARY) if a.held or b.held else (Arm.STABLE, Arm.CANARY, Arm.NONE)
    for one in database.spoken(list({a.id, b.id}), since_s):
        told = read_told(one.record)
        for version, side in ((a, side_a), (b, side_b)):
            if _belongs(told, version, arms):
                _add(side, one, told, score_text)
    measures = [_measure("feedback", side_a.feedback, side_b.feedback, a, b)]
    if side_a.checks or side_b.checks:
        measures.append(_measure("checks", side_a.checks, side_b.checks, a, b))
    return VersionComparison(a, b, side_a, side_b, tuple(measures), tuple(_cautions(a, b, side_a, side_b)))


def _belongs(told: SpokenRecord, version: ComparedVersion, arms: Container[Arm]) -> bool:
    """`arms`: of those that it spoke to. What names its prompt has no arm, and no controls."""
    rewrite = told.rewrite
    if (rewrite.template, rewrite.version) != (version.id, version.version):
        return False
    return rewrite.arm is Arm.HELD if version.held else told.changed and rewrite.arm in arms


def _add(side: Side, one: SpokenAnswer, told: SpokenRecord, score_text: ScoreText | None) -> None:
    side.exchanges += 1
    side.first_s, side.last_s = min(side.first_s, one.time_s), max(side.last_s, one.time_s)
    if one.prompt_tokens >= 0:
        side.prompt_tokens.add(one.prompt_tokens)
    if one.completion_tokens >= 0:
        side.completion_tokens.add(one.completion_tokens)
    side.milliseconds.add(one.total_us / 1000)
    if one.score is not None:
        side.feedback[round(one.score, DIGITS)] += 1
    if score_text is not None and told.policy == "full":
        score = score_text(told.answer.text)
        if score is not None:
            side.checks[round(score, DIGITS)] += 1


def _measure(
    name: str, counts_a: Counter[float], counts_b: Counter[float], a: ComparedVersion, b: ComparedVersion
) -> ScoreMeasure:
    first, second = Scores(counts_a), Scores(counts_b)
    n_a, n_b = first.n, second.n
    mean_a, mean_b = (scores.mean if scores.n else None for scores in (first, second))
    if not n_a or not n_b:
        empty = " and ".join(str(version) for version, n in ((a, n_a), (b, n_b)) if not n)
        said = f"nothing to compare: {empty} has no score from {name}"
        return ScoreMeasure(name, n_a, n_b, mean_a, mean_b, None, Better.UNKNOWN, said)
    found = difference(first, second, Random(SEED))  # the same data say the same each time
    better, said = _verdict(found, min(n_a, n_b), a, b)
    return ScoreMeasure(name, n_a, n_b, mean_a, mean_b, found, better, said)


def _verdict(found: Difference, fewest: int, a: ComparedVersion, b: ComparedVersion) -> tuple[Better, str]:
    size = f"{abs(found.difference):.2f}"
    if fewest >= FEWEST and found.p < LEVEL and found.low > 0:
        return Better.A, f"{a} is better by {size} [{found.low:.2f}, {found.high:.2f}]"
    if fewest >= FEWEST and found.p < LEVEL and found.high < 0:
        return Better.B, f"{b} is better by {size} [{-found.high:.2f}, {-found.low:.2f}]"
    if fewest >= max(FEWEST, found.needed) or (found.low >= -WORTHWHILE and found.high <= WORTHWHILE):
        return Better.ALIKE, f"alike: no difference of {WORTHWHILE:g} or more is to be expected"
    return Better.UNKNOWN, f"not enough data: {fewest} of about {max(FEWEST, found.needed)} needed on each side"


def _cautions(a: ComparedVersion, b: ComparedVersion, side_a: Side, side_b: Side) -> Iterable[str]:
    if a.id != b.id:
        yield "two templates: nobody was assigned to one or the other at random, so their users may differ"
    elif side_a.exchanges and side_b.exchanges and (side_a.last_s < side_b.first_s or side_b.last_s < side_a.first_s):
        yield "the two did not run at the same time, so what changed meanwhile counts too"
