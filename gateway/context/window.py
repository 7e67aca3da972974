"""Computes the number of tokens of turns, the room for prompt and answer, and the turns that can be dropped."""

import sys
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from gateway.ask import Turn
from gateway.exchange import ContextPlan, Exchange, Target

Count = Callable[[str, str], int]
"""A function that counts the tokens of a text. Its arguments are the name of a backend and the text. The call
blocks.
"""


SYSTEM_ROLES = ("system", "developer")


TURN_TOKENS = 8
"""An upper bound for the number of tokens that a chat template adds to a message. Common templates add 4 to 7."""


PROMPT_TOKENS = 32
"""An upper bound for the number of tokens that a chat template adds to a prompt. These are the tokens of the start of
the answer and of the template's own system message.
"""


ANSWER_TOKENS = 256
"""The number of tokens that are reserved for the answer if the request does not set a number."""


def lengthened(exchange: Exchange, prompt_tokens: int, stage: str, why: str) -> Exchange | None:
    """Move the exchange to a longer window of the model that fits the prompt. Returns None if there is no such window.

    If positions are stretched, the length covers prompt and answer. This length is chosen once, for all calls of the
    exchange.
    """
    if exchange.ask.controls.strategy == "trimmed":
        return None
    first, *others = [_holding(exchange, target, prompt_tokens) for target in exchange.route]
    if first is None:
        return None
    reach, how = 0, f"{first.model!r} at {first.backend!r} takes {first.window_tokens or 'any number of'} tokens"
    if first.stretches(exchange.route[0]):
        reach = prompt_tokens + answer_room(exchange, first)
        how = f"the engine reaches {first.window_tokens} tokens, with stretched positions beyond its own window"
    plan = ContextPlan("interpolated", first.window_tokens, prompt_tokens, exchange.plan.dropped_turns, reach)
    route = (first, *[target for target in others if target is not None])
    figures = {"tokens": prompt_tokens, "window_tokens": exchange.route[0].window_tokens, "reach_tokens": reach}
    longer = replace(exchange, route=route, plan=plan)
    return longer.noted(stage, "interpolated", f"{why}; {how}", {**figures, "longer_tokens": first.window_tokens})


def _holding(exchange: Exchange, target: Target | None, prompt_tokens: int) -> Target | None:
    """Return the first target that fits prompt and answer: this target, or one of its longer targets. The result is
    None if none of them fits. A target whose window is unknown fits everything.
    """
    while target is not None and target.window_tokens:
        if prompt_tokens + answer_room(exchange, target) <= target.window_tokens:
            break
        target = target.longer
    return target


def longest_tokens(target: Target) -> int:
    """Return the number of tokens of the model's longest window, if that window is longer than this target's. Otherwise
    return 0. An unknown window counts as unlimited.
    """
    longest = 0
    while target.longer is not None:
        target = target.longer
        longest = target.window_tokens or sys.maxsize
    return longest


def without_stretching(target: Target) -> Target:
    """Return the target without its longer windows that have stretched positions. Other deployments stay."""
    longer = target.longer
    while longer is not None and longer.stretches(target):
        longer = longer.longer
    return replace(target, longer=longer)


def answer_room(exchange: Exchange, target: Target) -> int:
    """Return the number of tokens to reserve for the answer. The request can set this number. However, it is at most
    half of the window.
    """
    room = exchange.ask.room_tokens or min(ANSWER_TOKENS, target.window_tokens // 4)
    return min(room, target.window_tokens // 2)


def prompt_room(exchange: Exchange, target: Target) -> int:
    """Return the maximum number of tokens of a prompt. If the engine can stretch positions, the answer may use
    positions beyond the window.
    """
    longer = target.longer
    if longer is not None and longer.stretches(target):
        return min(target.window_tokens, longer.window_tokens - answer_room(exchange, longer))
    return target.window_tokens - answer_room(exchange, target)


def upper_bound(turns: Sequence[Turn]) -> int:
    """Return an upper bound for the tokens of plain turns. Images and tool calls are not counted."""
    return PROMPT_TOKENS + sum(TURN_TOKENS + len(turn.text.encode("utf-8", "surrogatepass")) for turn in turns)


def sizes_of(turns: Sequence[Turn], backend: str, count: Count) -> list[int]:
    """Return the number of tokens of each turn, including the tokens that the chat template adds. The call blocks."""
    return [TURN_TOKENS + count(backend, turn.text) for turn in turns]


def is_kept(turns: Sequence[Turn]) -> list[bool]:
    """Return, for each turn, whether it must stay. System turns must stay, and so must all turns from the last user
    message on.
    """
    last = max((place for place, turn in enumerate(turns) if turn.role == "user"), default=0)
    return [turn.role in SYSTEM_ROLES or place >= last for place, turn in enumerate(turns)]


def trim(turns: Sequence[Turn], sizes: Sequence[int], budget: int) -> tuple[int, ...] | None:
    """Return the indices of the turns that stay. The result is None if the turns that must stay do not fit the budget.

    The oldest turns are dropped first. An answer is dropped together with its question, so that the remaining turns
    begin with a user turn.
    """
    must_stay = is_kept(turns)
    old = [place for place, stays in enumerate(must_stay) if not stays]
    total = sum(sizes)
    dropped = 0
    while dropped < len(old) and (total > budget or turns[old[dropped]].role != "user"):
        total -= sizes[old[dropped]]
        dropped += 1
    if total > budget:
        return None
    gone = set(old[:dropped])
    return tuple(place for place in range(len(turns)) if place not in gone)
