"""Compares the recorded answers of two template versions. A version can also be compared with raw prompts.

Scores come from feedback. If the caller passes a function for scoring, there are also scores from the template's
checks. If both versions belong to the same template, only answers from the time in which both were used are compared.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from gateway.errors import BadRequest
from gateway.exchange import Arm
from gateway.records.scores import DIGITS, FEWEST, LEVEL, WORTHWHILE, Z95, Difference, Scores, difference
from gateway.records.spoken_record import SpokenRecord, read_spoken

if TYPE_CHECKING:  # importing this module imports SQLAlchemy; the server imports `compare` at its start
    from gateway.records.database import Database, SpokenAnswer

RAW = "raw"
REF = re.compile(r"([a-z0-9]+(?:[._-][a-z0-9]+)*)@(\d{1,9})")
ALWAYS = (-math.inf, math.inf)
SEED = 20_260_101

ScoreText = Callable[[str], float | None]
"""Returns the share of the template's checks that an answer passes, or None if there are no checks."""


class ComparedVersion(Struct, frozen=True):
    """One version of a template.

    If `held` is True, the value stands for the controls of the version: the prompts that the version would have
    rewritten, but that stayed unchanged.
    """

    id: str
    version: int
    held: bool = False

    def __str__(self) -> str:
        return f"{RAW} ({self.id}@{self.version} held back)" if self.held else f"{self.id}@{self.version}"


class Mean(Struct):
    """A running mean. `half` is half the width of its 95 % confidence interval."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """The sum of squared deviations from the mean, updated by Welford's method."""

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
    """The recorded answers on one side of the comparison."""

    exchanges: int = 0
    left_out: int = 0
    """The number of answers that were left out because the other version was not in use at that time."""
    first_s: float = math.inf
    last_s: float = -math.inf
    feedback: Counter[float] = msgspec.field(default_factory=Counter)
    checks: Counter[float] = msgspec.field(default_factory=Counter)
    prompt_tokens: Mean = msgspec.field(default_factory=Mean)
    completion_tokens: Mean = msgspec.field(default_factory=Mean)
    milliseconds: Mean = msgspec.field(default_factory=Mean)


class Better(StrEnum):
    """The result for one kind of score: the better side, no difference, or unknown."""

    A = "a"
    B = "b"
    ALIKE = "alike"
    UNKNOWN = "unknown"


class ScoreMeasure(Struct, frozen=True):
    """One kind of score on both sides. `verdict` is the result in words.

    `difference` is the mean of A minus the mean of B, or None if a side has no scores.
    """

    name: str
    n_a: int
    n_b: int
    mean_a: float | None
    mean_b: float | None
    difference: Difference | None
    better: Better
    verdict: str = msgspec.field(name="said")

    def __str__(self) -> str:
        gain = self.difference
        return self.verdict + (f", p = {gain.p:.3f} ({gain.method})" if gain else "")


class VersionComparison(Struct, frozen=True):
    a: ComparedVersion
    b: ComparedVersion
    side_a: Side
    side_b: Side
    measures: tuple[ScoreMeasure, ...]
    cautions: tuple[str, ...] = ()


def rows_of(comparison: VersionComparison) -> list[tuple[str, str, str]]:
    """Return the rows of a table. Each row has a name, the figure for A and the figure for B."""
    a, b = comparison.side_a, comparison.side_b
    rows = [("answers", f"{a.exchanges:,}", f"{b.exchanges:,}")]
    if a.left_out or b.left_out:
        rows.append(("from other times, not counted", f"{a.left_out:,}", f"{b.left_out:,}"))
    for measure in comparison.measures:
        rows.append((f"{measure.name}: scores", f"{measure.n_a:,}", f"{measure.n_b:,}"))
        rows.append((f"{measure.name}: mean", _score(measure.mean_a), _score(measure.mean_b)))
    rows.append(("prompt tokens", str(a.prompt_tokens), str(b.prompt_tokens)))
    rows.append(("answer tokens", str(a.completion_tokens), str(b.completion_tokens)))
    rows.append(("ms", str(a.milliseconds), str(b.milliseconds)))
    return rows


def _score(mean: float | None) -> str:
    return "-" if mean is None else f"{mean:.3f}"


def as_json(comparison: VersionComparison) -> bytes:
    """Encode the comparison. A figure that is unknown becomes null."""
    sides = {"a": (comparison.a, comparison.side_a), "b": (comparison.b, comparison.side_b)}
    return msgspec.json.encode(
        {
            **{name: _shown(version, side) for name, (version, side) in sides.items()},
            "measures": comparison.measures,
            "cautions": comparison.cautions,
        }
    )


def _shown(version: ComparedVersion, side: Side) -> dict[str, object]:
    means = {name: getattr(side, name) for name in ("prompt_tokens", "completion_tokens", "milliseconds")}
    return {
        "version": str(version),
        "exchanges": side.exchanges,
        "left_out": side.left_out,
        "from_s": side.first_s,
        "to_s": side.last_s,
        **{name: {"n": mean.n, "mean": mean.mean, "plus_minus": mean.half} for name, mean in means.items()},
    }


def read_versions(a: str, b: str) -> tuple[ComparedVersion, ComparedVersion]:
    """Parse two versions in the format `id@version`. One of the texts may be `raw`. Raises `BadRequest`.

    `raw` means the controls of the other version.
    """
    if a == RAW and b == RAW:
        raise BadRequest("Compare a version with raw. Raw cannot be compared with raw.", param="b")
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
    match = REF.fullmatch(text)
    if match is None:
        raise BadRequest(f"{text!r} is not a version; write id@version, such as summarise.en@3, or raw.", param=param)
    return ComparedVersion(match[1], int(match[2]))


def compare(
    database: Database,
    a: ComparedVersion,
    b: ComparedVersion,
    *,
    since_s: float = 0.0,
    score_text: ScoreText | None = None,
) -> VersionComparison:
    """Compare the complete answers of both versions.

    This call blocks. Its memory use does not grow with the number of answers.
    """
    side_a, side_b = Side(), Side()
    window = _shared_time(_answers(database, a, b, since_s)) if a.id == b.id else ALWAYS
    for answer, record, of_a, of_b in _answers(database, a, b, since_s):
        for side, belongs in ((side_a, of_a), (side_b, of_b)):
            if belongs and window[0] <= answer.time_s <= window[1]:
                _add(side, answer, record, score_text)
            elif belongs:
                side.left_out += 1
    measures = [_measure("feedback", side_a.feedback, side_b.feedback, a, b)]
    if side_a.checks or side_b.checks:
        measures.append(_measure("checks", side_a.checks, side_b.checks, a, b))
    return VersionComparison(a, b, side_a, side_b, tuple(measures), tuple(_cautions(a, b, side_a, side_b)))


def _answers(
    database: Database, a: ComparedVersion, b: ComparedVersion, since_s: float
) -> Iterator[tuple[SpokenAnswer, SpokenRecord, bool, bool]]:
    """Yield each answer that belongs to A or B, with its record and two flags: whether it belongs to A, and to B."""
    arms = (Arm.STABLE, Arm.CANARY) if a.held or b.held else (Arm.STABLE, Arm.CANARY, Arm.NONE)
    for answer in database.spoken(list({a.id, b.id}), since_s):
        record = read_spoken(answer.record)
        of_a, of_b = _belongs(record, a, arms), _belongs(record, b, arms)
        if of_a or of_b:
            yield answer, record, of_a, of_b


def _shared_time(answers: Iterator[tuple[SpokenAnswer, SpokenRecord, bool, bool]]) -> tuple[float, float]:
    """Return the start and end of the time in which both versions were used, or `ALWAYS` if these times
    do not overlap.
    """
    times: dict[bool, tuple[float, float]] = {}
    for answer, _, of_a, _ in answers:  # oldest first
        first_s, _ = times.get(of_a, (answer.time_s, 0.0))
        times[of_a] = (first_s, answer.time_s)
    if len(times) < 2:
        return ALWAYS
    start_s, end_s = max(first_s for first_s, _ in times.values()), min(last_s for _, last_s in times.values())
    return (start_s, end_s) if start_s <= end_s else ALWAYS


def _belongs(record: SpokenRecord, version: ComparedVersion, arms: Container[Arm]) -> bool:
    """Return whether an answer belongs to this side of the comparison.

    The answer must be of this version and in one of `arms`. An answer to a prompt by name has no arm, so it cannot be
    compared with controls.
    """
    rewrite = record.rewrite
    if (rewrite.template, rewrite.version) != (version.id, version.version):
        return False
    return rewrite.arm is Arm.HELD if version.held else record.changed and rewrite.arm in arms


def _add(side: Side, answer: SpokenAnswer, record: SpokenRecord, score_text: ScoreText | None) -> None:
    side.exchanges += 1
    side.first_s, side.last_s = min(side.first_s, answer.time_s), max(side.last_s, answer.time_s)
    if answer.prompt_tokens >= 0:
        side.prompt_tokens.add(answer.prompt_tokens)
    if answer.completion_tokens >= 0:
        side.completion_tokens.add(answer.completion_tokens)
    side.milliseconds.add(answer.total_us / 1000)
    if answer.score is not None:
        side.feedback[round(answer.score, DIGITS)] += 1
    if score_text is not None and record.policy == "full":
        score = score_text(record.answer.text)
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
        verdict = f"nothing to compare: {empty} has no score from {name}"
        return ScoreMeasure(name, n_a, n_b, mean_a, mean_b, None, Better.UNKNOWN, verdict)
    gain = difference(first, second, Random(SEED))  # the fixed seed makes results repeatable
    better, verdict = _verdict(gain, min(n_a, n_b), a, b)
    return ScoreMeasure(name, n_a, n_b, mean_a, mean_b, gain, better, verdict)


def _verdict(gain: Difference, fewest: int, a: ComparedVersion, b: ComparedVersion) -> tuple[Better, str]:
    size = f"{abs(gain.difference):.2f}"
    if fewest >= FEWEST and gain.p < LEVEL and gain.low > 0:
        return Better.A, f"{a} is better by {size} [{gain.low:.2f}, {gain.high:.2f}]"
    if fewest >= FEWEST and gain.p < LEVEL and gain.high < 0:
        return Better.B, f"{b} is better by {size} [{-gain.high:.2f}, {-gain.low:.2f}]"
    if fewest >= max(FEWEST, gain.needed) or (gain.low >= -WORTHWHILE and gain.high <= WORTHWHILE):
        return Better.ALIKE, f"alike: a difference of {WORTHWHILE:g} or more is unlikely"
    return Better.UNKNOWN, f"not enough data: {fewest} of about {max(FEWEST, gain.needed)} needed on each side"


def _cautions(a: ComparedVersion, b: ComparedVersion, side_a: Side, side_b: Side) -> Sequence[str]:
    if a.id != b.id:
        return ["two different templates: requests were not assigned at random, so the groups may differ"]
    cautions = []
    if side_a.exchanges and side_b.exchanges and (side_a.last_s < side_b.first_s or side_b.last_s < side_a.first_s):
        cautions.append("the versions ran at different times, so other changes may explain the difference")
    if side_a.left_out or side_b.left_out:
        out = " and ".join(f"{n:,} answers of {v}" for v, n in ((a, side_a.left_out), (b, side_b.left_out)) if n)
        cautions.append(f"the versions ran at the same time only in part: {out} from other times are not counted")
    return cautions
