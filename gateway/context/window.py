"""What fits into a window: the tokens of turns, the room for prompt and answer, which turns may go."""

import sys
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from gateway.exchange import ContextPlan, Exchange, Target, Turn

Count = Callable[[str, str], int]
"""The tokens of a text for a backend, by the backend's name. Blocking."""


SYSTEM_ROLES = ("system", "developer")


TURN_TOKENS = 8
"""What a chat template puts around one message; the common ones need 4 to 7."""


PROMPT_TOKENS = 32
"""What it puts around all of them: the opening of the answer, a system message of its own."""


ANSWER_TOKENS = 256
"""What is kept free for the answer where the request does not say."""


def lengthened(exchange: Exchange, prompt_tokens: int, stage: str, why: str) -> Exchange | None:
    """Sent to where the model has a window that takes the prompt; None where it has none.

    Positions that are stretched for it are set for the prompt and the answer, once for all calls of the exchange.
    """
    if exchange.ask.controls.strategy == "trimmed":
        return None
    first, *others = [_holding(exchange, target, prompt_tokens) for target in exchange.route]
    if first is None:
        return None
    reach, how = 0, f"{first.model!r} at {first.backend!r} takes {first.window_tokens or 'any number of'} tokens"
    if first.stretches(exchange.route[0]):
        reach = prompt_tokens + answer_room(exchange, first)
        how = f"the engine reaches {first.window_tokens} tokens, with stretched positions where its own end"
    plan = ContextPlan("interpolated", first.window_tokens, prompt_tokens, exchange.plan.dropped_turns, reach)
    route = (first, *[target for target in others if target is not None])
    said = {"tokens": prompt_tokens, "window_tokens": exchange.route[0].window_tokens, "reach_tokens": reach}
    longer = replace(exchange, route=route, plan=plan)
    return longer.noted(stage, "interpolated", f"{why}; {how}", {**said, "longer_tokens": first.window_tokens})


def _holding(exchange: Exchange, target: Target | None, prompt_tokens: int) -> Target | None:
    """The nearest of a target and what is longer that takes prompt and answer. An unknown window takes all."""
    while target is not None and target.window_tokens:
        if prompt_tokens + answer_room(exchange, target) <= target.window_tokens:
            break
        target = target.longer
    return target


def longest_tokens(target: Target) -> int:
    """The widest window that the model can be had with beyond this one: 0 for none, no limit for an unknown one."""
    longest = 0
    while target.longer is not None:
        target = target.longer
        longest = target.window_tokens or sys.maxsize
    return longest


def answer_room(exchange: Exchange, target: Target) -> int:
    """The tokens to keep free for the answer: what was asked for, up to half of the window."""
    asked = exchange.ask.room_tokens or min(ANSWER_TOKENS, target.window_tokens // 4)
    return min(asked, target.window_tokens // 2)


def prompt_room(exchange: Exchange, target: Target) -> int:
    """What the prompt may take. Where the window is what the engine reads well, an answer goes on past its end."""
    longer = target.longer
    if longer is not None and longer.stretches(target):
        return min(target.window_tokens, longer.window_tokens - answer_room(exchange, longer))
    return target.window_tokens - answer_room(exchange, target)


def upper_bound(turns: Sequence[Turn]) -> int:
    """No fewer tokens than plain turns can have. Images and tool calls are not in it."""
    return PROMPT_TOKENS + sum(TURN_TOKENS + len(turn.text.encode("utf-8", "surrogatepass")) for turn in turns)


def sizes_of(turns: Sequence[Turn], backend: str, count: Count) -> list[int]:
    """The tokens of each turn, with what the chat template puts around it. Blocking."""
    return [TURN_TOKENS + count(backend, turn.text) for turn in turns]


def is_kept(turns: Sequence[Turn]) -> list[bool]:
    """Which turns may never be left out: the system's, and all from the last user message on."""
    last = max((place for place, turn in enumerate(turns) if turn.role == "user"), default=0)
    return [turn.role in SYSTEM_ROLES or place >= last for place, turn in enumerate(turns)]


def trim(turns: Sequence[Turn], sizes: Sequence[int], budget: int) -> tuple[int, ...] | None:
    """The places of the turns that stay, or None if even those that must stay are too many.

    The oldest go first. An answer goes with its question, so what is left begins with a user turn.
    """
    kept = is_kept(turns)
    old = [place for place, stays in enumerate(kept) if not stays]
    total = sum(sizes)
    dropped = 0
    while dropped < len(old) and (total > budget or turns[old[dropped]].role != "user"):
        total -= sizes[old[dropped]]
        dropped += 1
    if total > budget:
        return None
    gone = set(old[:dropped])
    return tuple(place for place in range(len(turns)) if place not in gone)
