"""Compares two models on the same recorded requests, row by row."""

from collections.abc import Callable, Sequence
from random import Random
from statistics import mean, median

from msgspec import Struct
from msgspec.structs import replace

from gateway.prompt.answers.judge import matches
from gateway.prompt.found.contract import AnswerContract, breach
from gateway.records.scores import Paired, paired
from gateway.settings.prices import EarlierPrice, ModelPrice, cost_at
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.found.bill import token_use
from offline_jobs.found.trial import FoundAnswer


class ModelSide(Struct, frozen=True):
    """How one model did. `right` and `kept` are shares from 0 to 1, and None where no row tells.

    Tokens, cost and latency are those of answered requests. `cost` is the mean of a request, and None without a price.
    """

    model: str
    failed: int
    """The requests that the model refused or did not answer."""
    right: float | None
    kept: float | None
    broken: int
    """The answers that break the contract. A failed request is none."""
    prompt_tokens: float
    completion_tokens: float
    cost: float | None
    median_ms: float
    p90_ms: float


class ModelDifferences(Struct, frozen=True):
    """The new model minus the present one, in pairs, with 95 % intervals. None where there is nothing to compare."""

    answered: Paired | None
    right: Paired | None
    kept: Paired | None
    prompt_tokens: Paired | None
    completion_tokens: Paired | None
    cost: Paired | None
    ms: Paired | None


class ModelAnswers(Struct, frozen=True):
    """The answers of one model to some rows. `right` and `kept` are None for rows that do not tell."""

    model: str
    answers: list[FoundAnswer]
    right: list[float | None]
    kept: list[float | None]
    prompt_tokens: list[float | None]
    completion_tokens: list[float | None]
    cost: list[float | None]
    ms: list[float | None]


def judged(
    model: str,
    rows: Sequence[DatasetRow],
    answers: Sequence[FoundAnswer],
    contract: AnswerContract | None,
    price: ModelPrice | EarlierPrice | None,
    fixed_chars: int,
) -> ModelAnswers:
    """Judge the answers. A failed request is not right, does not keep the contract, and has no tokens, cost or time."""
    pairs = list(zip(rows, answers, strict=True))
    told = [None if one.problem or one.answer.prompt_tokens < 0 else token_use(one, fixed_chars) for one in answers]
    return ModelAnswers(
        model,
        list(answers),
        [None if not row.wanted else _right(row, one) for row, one in pairs],
        [_kept(contract, row, one) for row, one in pairs],
        [None if use is None else float(use.prompt) for use in told],
        [None if use is None else float(use.completion) for use in told],
        [None if use is None or price is None else cost_at(price, use) for use in told],
        [None if one.problem else one.took_us / 1000 for one in answers],
    )


def _right(row: DatasetRow, one: FoundAnswer) -> float:
    return 0.0 if one.problem else float(matches(one.text, row.wanted))


def _kept(contract: AnswerContract | None, row: DatasetRow, one: FoundAnswer) -> float | None:
    if contract is None:
        return None
    if row.wanted and breach(contract, replace(one.answer, text=row.wanted, finish="stop", calls=())):
        return None  # where even the right answer breaks the contract, the row says nothing about it
    return 0.0 if one.problem or breach(contract, one.answer) else 1.0


def side(one: ModelAnswers) -> ModelSide:
    times = sorted(_known(one.ms))
    failed = sum(bool(answer.problem) for answer in one.answers)
    broken = sum(kept == 0 and not answer.problem for kept, answer in zip(one.kept, one.answers, strict=True))
    return ModelSide(
        one.model,
        failed,
        _mean(one.right),
        _mean(one.kept),
        broken,
        _mean(one.prompt_tokens) or 0.0,
        _mean(one.completion_tokens) or 0.0,
        _mean(one.cost),
        round(median(times), 1) if times else 0.0,
        round(times[min(len(times) - 1, int(0.9 * len(times)))], 1) if times else 0.0,
    )


def differences(old: ModelAnswers, new: ModelAnswers, seed: int) -> ModelDifferences:
    def compared(column: Callable[[ModelAnswers], list[float | None]]) -> Paired | None:
        return _compared(column(old), column(new), Random(seed))

    return ModelDifferences(
        compared(lambda one: [float(not answer.problem) for answer in one.answers]),
        compared(lambda one: one.right),
        compared(lambda one: one.kept),
        compared(lambda one: one.prompt_tokens),
        compared(lambda one: one.completion_tokens),
        compared(lambda one: one.cost),
        compared(lambda one: one.ms),
    )


def _compared(old: Sequence[float | None], new: Sequence[float | None], random: Random) -> Paired | None:
    changes = [b - a for a, b in zip(old, new, strict=True) if a is not None and b is not None]
    if not changes:
        return None
    # `paired` takes differences from -1 to 1
    scale = max(map(abs, changes)) or 1.0
    test = paired([one / scale for one in changes], random)
    return replace(test, mean=mean(changes), low=test.low * scale, high=test.high * scale)


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Sequence[float | None]) -> float | None:
    known = _known(values)
    return sum(known) / len(known) if known else None
