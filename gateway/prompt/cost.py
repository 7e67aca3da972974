"""Computes the maximum cost of a template's technique before any call is made. The call that answers the client is not
counted.
"""

from collections.abc import Iterable

from msgspec import Struct

from gateway.ask import Turn
from gateway.prompt.templates.template import Template

JUDGE_TOKENS = 120


class Cost(Struct, frozen=True):
    """The maximum number of extra calls, and of tokens in all their answers. If there is no limit on the tokens,
    `tokens` is -1.
    """

    calls: int = 0
    tokens: int = 0

    def __str__(self) -> str:
        if not self.calls:
            return "one call"
        tokens = "with no limit on their tokens" if self.tokens < 0 else f"{self.tokens} tokens"
        return f"at most {self.calls} more call{'s' if self.calls > 1 else ''}, {tokens}"


def cost_of(template: Template) -> Cost:
    """Return the maximum cost of this template for any request."""
    rounds = template.iterate.rounds if template.iterate else 0
    answers = (template.samples.n - 1 if template.samples else 0) + rounds
    judged = len(template.judges) * (rounds + 1) if template.iterate else 0
    calls = len(template.calls) + answers + judged
    if answers and not template.output.max_tokens:
        return Cost(calls, -1)
    first = sum(call.max_tokens for call in template.calls.values())
    return Cost(calls, first + answers * template.output.max_tokens + judged * JUDGE_TOKENS)


def estimated_tokens(turns: Iterable[Turn]) -> int:
    """Estimate the tokens of these messages as a quarter of their bytes. An exact count would take longer than choosing
    the template.
    """
    return sum(len(turn.text.encode("utf-8", "surrogatepass")) for turn in turns) // 4
