"""Estimates the cost of a measurement before the first call of a model."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from gateway.prompt.measure.known_order import CALLS_A_PAIR, JudgeExam, known_pairs
from gateway.prompt.measure.pairs import JUDGE, JUDGED, AnswerPair
from gateway.settings.jobs import Price

BYTES_A_TOKEN = 3
MILLION = 1_000_000


class MeasureCost(Struct, frozen=True):
    """An upper bound on the calls, tokens and money of a measurement.

    The currency is that of `[jobs] prices`. A model without a price counts as free.
    """

    calls: int = 0
    tokens: int = 0
    money: float = 0.0

    def __str__(self) -> str:
        money = f", {self.money:.2f} of money" if self.money else ""
        return f"at most {self.calls:,} calls and {self.tokens:,} tokens{money}"


def cost_of_pairs(
    pairs: Sequence[AnswerPair], prices: Mapping[str, Price], judge: str = "", exam: JudgeExam | None = None
) -> MeasureCost:
    """Return the maximum cost of measuring these pairs.

    If the judge is needed but not yet examined, the cost includes the exam.
    """
    calls, tokens, money = 0, 0, 0.0
    judged = [pair for pair in pairs if pair.scored_by(judge) == JUDGED]
    for pair in pairs:
        prompt = sum(tokens_of(turn.text) for turn in (*pair.raw, *pair.rewritten))
        calls, tokens = calls + 2, tokens + prompt + 2 * pair.sampling.max_tokens
        money += money_of(prices.get(pair.target.model), prompt, 2 * pair.sampling.max_tokens)
    asked = 2 * len(judged) + (CALLS_A_PAIR * len(known_pairs()) if judged and exam is None else 0)
    for pair in judged:
        prompt = 2 * (sum(tokens_of(turn.text) for turn in pair.raw) + 2 * pair.sampling.max_tokens)
        tokens, money = tokens + prompt, money + money_of(prices.get(judge), prompt, 2 * JUDGE.max_tokens)
    return MeasureCost(calls + asked, tokens, money)


def tokens_of(text: str) -> int:
    return len(text.encode()) // BYTES_A_TOKEN + 1


def money_of(price: Price | None, prompt: int, answer: int) -> float:
    return 0.0 if price is None else (price.prompt * prompt + price.completion * answer) / MILLION
