"""The tables `[prices.x]`: what a model costs, now and earlier."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated

from msgspec import Meta, Struct

Amount = Annotated[float, Meta(ge=0)]
MILLION = 1_000_000


class EarlierPrice(Struct, frozen=True, forbid_unknown_fields=True):
    """A price that held until a day."""

    until: date
    """The first day of the next price, such as 2026-07-01, in UTC."""
    input: Amount = 0.0
    output: Amount = 0.0
    cached: Amount | None = None
    reasoning: Amount | None = None


class ModelPrice(Struct, frozen=True, forbid_unknown_fields=True):
    """`[prices."gpt-4o"]`: the price of a model per million tokens, in any one currency."""

    input: Amount = 0.0
    """The price of prompt tokens."""
    output: Amount = 0.0
    """The price of answer tokens."""
    cached: Amount | None = None
    """The price of prompt tokens that the provider takes from its cache. Default: that of `input`."""
    reasoning: Amount | None = None
    """The price of the reasoning tokens in an answer. Default: that of `output`."""
    before: tuple[EarlierPrice, ...] = ()
    """Earlier prices: `before = [{until = 2026-07-01, input = 5, output = 15}]`."""


class TokenUse(Struct, frozen=True):
    """The tokens of one call. `cached` are among `prompt`, and `reasoning` are among `completion`."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    reasoning: int = 0


def cost_of(prices: Mapping[str, ModelPrice], model: str, use: TokenUse, time_s: float) -> float:
    """Return the cost of a call at the price of its day. `time_s` is in seconds since 1970. A model without a price is
    free.
    """
    price = prices.get(model)
    return 0.0 if price is None else cost_at(price_at(price, time_s), use)


def cost_at(price: ModelPrice | EarlierPrice, use: TokenUse) -> float:
    cached, reasoning = min(max(0, use.cached), max(0, use.prompt)), min(max(0, use.reasoning), max(0, use.completion))
    for_cached = price.input if price.cached is None else price.cached
    for_reasoning = price.output if price.reasoning is None else price.reasoning
    money = (max(0, use.prompt) - cached) * price.input + cached * for_cached
    money += (max(0, use.completion) - reasoning) * price.output + reasoning * for_reasoning
    return money / MILLION


def price_at(price: ModelPrice, time_s: float) -> ModelPrice | EarlierPrice:
    """Return the price that held at a time: the earliest one whose end comes after the time."""
    day = datetime.fromtimestamp(time_s, UTC).date()
    held = [earlier for earlier in price.before if day < earlier.until]
    return min(held, key=lambda earlier: earlier.until, default=price)
