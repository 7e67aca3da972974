"""The stage that makes a prompt fit the model's window: a longer window where the model has one, else fewer old turns.

Never left out: system messages, and everything from the last user message on. Tokens are counted
only if the bytes do not fit, for no tokenizer makes more tokens than there are bytes.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from gateway.errors import ContextTooLong
from gateway.exchange import ContextPlan, Exchange, Mode, Rewrite, Sampling, Target, Turn

Count = Callable[[str, str], int]
"""The tokens of a text for a backend, by the backend's name. Blocking."""

SYSTEM_ROLES = ("system", "developer")
TURN_TOKENS = 8
"""What a chat template puts around one message; the common ones need 4 to 7."""
PROMPT_TOKENS = 32
"""What it puts around all of them: the opening of the answer, a system message of its own."""
ANSWER_TOKENS = 256
"""What is kept free for the answer where the request does not say."""


class Fit:
    """Decides `direct` or `trimmed`. A rewrite that makes a prompt too long is taken back."""

    name = "fit"

    def __init__(self, count: Count) -> None:
        self.count = count

    async def __call__(self, exchange: Exchange) -> Exchange:
        target = exchange.route[0] if exchange.route else None
        if target is None or not target.window_tokens or not exchange.prompt:
            return exchange
        room = answer_room(exchange, target)
        budget = prompt_room(exchange, target)
        at_most = upper_bound(exchange.prompt)
        if at_most <= budget:
            return _direct(exchange, target, at_most, "the bytes fit, so the tokens do")
        if exchange.mode is Mode.OFF and exchange.turns is None and target.longer is None:
            return exchange.noted(self.name, "direct", "may be over the window; mode is off, so nothing is changed")
        if not all(turn.plain for turn in exchange.prompt):
            return await self._more_than_text(exchange, target)
        sizes = await asyncio.to_thread(sizes_of, exchange.prompt, target.backend, self.count)
        tokens = PROMPT_TOKENS + sum(sizes)
        if tokens <= budget:
            return _direct(exchange, target, tokens, "counted")
        if longer := lengthened(exchange, tokens, self.name, f"{tokens} tokens are over the window of this model"):
            return longer
        if exchange.mode is Mode.OFF and exchange.turns is None:
            return exchange.noted(self.name, "direct", "over every window; mode is off, so nothing is changed")
        trimmed = trim(exchange.prompt, sizes, budget - PROMPT_TOKENS)
        if trimmed is not None:
            return _trimmed(exchange, target, trimmed, sizes)
        if exchange.turns is not None:
            return await self._as_it_came(exchange)
        if exchange.mode is Mode.ON:
            raise ContextTooLong(tokens, target.window_tokens, room)
        return exchange.noted(
            self.name, "direct", f"over the window; mode is {exchange.mode.value}, so nothing is changed"
        )

    async def _more_than_text(self, exchange: Exchange, target: Target) -> Exchange:
        """Tool calls and images are not counted one by one. Where a longer window is to be had, their JSON is."""
        if target.longer is not None:
            raw = exchange.ask.raw.decode("utf-8", "replace")
            tokens = await asyncio.to_thread(self.count, target.backend, raw)
            over = tokens > prompt_room(exchange, target)
            why = f"the request's JSON has {tokens} tokens, which may be over the window of this model"
            if over and (longer := lengthened(exchange, tokens, self.name, why)):
                return longer
        return exchange.noted(self.name, "direct", "not counted: the prompt holds more than plain text")

    async def _as_it_came(self, exchange: Exchange) -> Exchange:
        """What the stages before added is more than fits: go on with the client's own prompt."""
        own = replace(exchange, turns=None, chunks=())
        if not exchange.ask.spoken_for:  # a prompt by name is the client's own
            own = replace(own, sampling=Sampling(), rewrite=Rewrite.NONE, procedure=None)
        fitted = await self(own)
        last = fitted.notes[-1]
        reason = f"the rewritten prompt does not fit, so the client's own goes; {last.reason}"
        return replace(fitted, notes=(*fitted.notes[:-1], replace(last, reason=reason)))


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


def _direct(exchange: Exchange, target: Target, tokens: int, reason: str) -> Exchange:
    # what an earlier stage made of it stays its strategy
    plan = replace(exchange.plan, window_tokens=target.window_tokens, prompt_tokens=tokens)
    return replace(exchange, plan=plan).noted(
        "fit", "direct", reason, {"window_tokens": target.window_tokens, "at_most_tokens": tokens}
    )


def _trimmed(exchange: Exchange, target: Target, places: tuple[int, ...], sizes: Sequence[int]) -> Exchange:
    turns = tuple(exchange.prompt[place] for place in places)
    tokens = PROMPT_TOKENS + sum(sizes[place] for place in places)
    dropped = len(exchange.prompt) - len(turns)
    plan = ContextPlan("trimmed", target.window_tokens, tokens, dropped)
    return replace(exchange, turns=turns, plan=plan).noted(
        "fit",
        "trimmed",
        f"the {dropped} oldest turns were left out to fit the window of {target.window_tokens} tokens",
        {"window_tokens": target.window_tokens, "prompt_tokens": tokens, "dropped_turns": dropped},
    )
