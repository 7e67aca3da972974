"""What a version costs for each request: tokens that a provider takes from its cache cost less."""

from collections.abc import Sequence

from msgspec import Struct

from gateway.prompt.found.adopt import FoundTemplate
from gateway.settings.prices import EarlierPrice, ModelPrice, TokenUse, cost_at
from offline_jobs.found.trial import FoundAnswer

LEAST_CACHED = 1024
"""Providers keep a beginning of at least this many tokens in their cache."""


class RequestBill(Struct, frozen=True):
    """The mean tokens, cost and time of a request."""

    prompt_tokens: float = 0.0
    cached_tokens: float = 0.0
    completion_tokens: float = 0.0
    cost: float = 0.0
    ms: float = 0.0


def bill(answers: Sequence[FoundAnswer], template: FoundTemplate, price: ModelPrice | EarlierPrice) -> RequestBill:
    """Return the bill of a version.

    The usage that the provider tells counts. Where it says nothing about its cache, the text before the first part is
    taken for cached, if it is long enough: all text behind it varies from request to request.
    """
    known = [one for one in answers if one.answer.prompt_tokens > 0]
    if not known:
        return RequestBill()
    fixed = fixed_start(template)
    uses = [token_use(one, fixed) for one in known]
    n = len(known)
    return RequestBill(
        sum(use.prompt for use in uses) / n,
        sum(use.cached for use in uses) / n,
        sum(use.completion for use in uses) / n,
        sum(cost_at(price, use) for use in uses) / n,
        sum(one.took_us for one in known) / n / 1000,
    )


def token_use(one: FoundAnswer, fixed_chars: int) -> TokenUse:
    """Return the tokens of an answer. `fixed_chars` are the characters of the prompt before the first part."""
    answer = one.answer
    said, thought = max(0, answer.completion_tokens), max(0, answer.reasoning_tokens)
    return TokenUse(answer.prompt_tokens, said, int(_cached(one, fixed_chars)), thought)


def _cached(answer: FoundAnswer, fixed_chars: int) -> float:
    told = answer.answer.cached_tokens
    if told >= 0:
        return float(min(told, answer.answer.prompt_tokens))
    tokens = answer.answer.prompt_tokens * min(1.0, fixed_chars / max(1, answer.chars))
    return tokens if tokens >= LEAST_CACHED else 0.0


def fixed_start(template: FoundTemplate) -> int:
    """Return the number of characters before the first part, or before the conversation if there are no parts."""
    count = 0
    for message in template.messages:
        if not message.parts:
            return count
        for part in message.parts:
            if part.slot:
                return count
            count += len(part.text)
    return count


def front(points: Sequence[tuple[float, float, float]]) -> list[int]:
    """Return the places on the Pareto front of score (higher is better), cost and time (lower is better)."""
    return [
        at
        for at, own in enumerate(points)
        if not any(
            other != own and other[0] >= own[0] and other[1] <= own[1] and other[2] <= own[2] for other in points
        )
    ]
