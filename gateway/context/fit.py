"""The stage that fits a prompt into the model's window. A long prompt gets a longer window of the model, or loses old
turns.

System messages always stay, and so does everything from the last user message on. A text never has more tokens than
bytes. Therefore tokens are counted only if the prompt has more bytes than the window has tokens.
"""

import asyncio
from collections.abc import Sequence

from msgspec.structs import replace

from gateway.ask import Mode
from gateway.context.window import (
    PROMPT_TOKENS,
    Count,
    answer_room,
    lengthened,
    prompt_room,
    sizes_of,
    trim,
    upper_bound,
)
from gateway.errors import ContextTooLong
from gateway.exchange import ContextPlan, Exchange, Rewrite, Sampling, Target


class FitStage:
    """The stage `fit`. It sends a prompt as it is (`direct`) or without old turns (`trimmed`), and undoes a rewrite
    that makes a prompt too long.
    """

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
            return _direct(exchange, target, at_most, "it fits the window, even with a token for each byte")
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
        if exchange.mode.changes:
            raise ContextTooLong(tokens, target.window_tokens, room)
        return exchange.noted(
            self.name, "direct", f"over the window; mode is {exchange.mode.value}, so nothing is changed"
        )

    async def _more_than_text(self, exchange: Exchange, target: Target) -> Exchange:
        """Handle a prompt with tool calls or images, whose tokens cannot be counted.

        If the model has a longer window, the tokens of the request's JSON are counted. If these tokens do not fit the
        present window, the longer window is used.
        """
        if target.longer is not None:
            raw = exchange.ask.raw.decode("utf-8", "replace")
            tokens = await asyncio.to_thread(self.count, target.backend, raw)
            over = tokens > prompt_room(exchange, target)
            why = f"the request's JSON has {tokens} tokens, which may be over the window of this model"
            if over and (longer := lengthened(exchange, tokens, self.name, why)):
                return longer
        return exchange.noted(self.name, "direct", "not counted: the prompt holds more than plain text")

    async def _as_it_came(self, exchange: Exchange) -> Exchange:
        """Fit the client's own prompt, because the prompt with the additions of earlier stages does not fit."""
        own = replace(exchange, turns=None, chunks=())
        if not exchange.ask.spoken_for:  # a prompt by name is part of the client's request
            own = replace(own, sampling=Sampling(), rewrite=Rewrite.NONE, procedure=None)
        fitted = await self(own)
        last = fitted.notes[-1]
        reason = f"the rewritten prompt does not fit, so the client's own is sent; {last.reason}"
        return replace(fitted, notes=(*fitted.notes[:-1], replace(last, reason=reason)))


def _direct(exchange: Exchange, target: Target, tokens: int, reason: str) -> Exchange:
    # the plan keeps the strategy that an earlier stage has set
    plan = replace(exchange.plan, window_tokens=target.window_tokens, prompt_tokens=tokens)
    return replace(exchange, plan=plan).noted(
        "fit", "direct", reason, {"window_tokens": target.window_tokens, "at_most_tokens": tokens}
    )


def _trimmed(exchange: Exchange, target: Target, places: tuple[int, ...], sizes: Sequence[int]) -> Exchange:
    turns = tuple(exchange.prompt[place] for place in places)
    tokens = PROMPT_TOKENS + sum(sizes[place] for place in places)
    dropped = len(exchange.prompt) - len(turns)
    plan = ContextPlan("trimmed", target.window_tokens, tokens, dropped, said=f"the {dropped} oldest turns left out")
    return replace(exchange, turns=turns, plan=plan).noted(
        "fit",
        "trimmed",
        f"the {dropped} oldest turns were left out to fit the window of {target.window_tokens} tokens",
        {"window_tokens": target.window_tokens, "prompt_tokens": tokens, "dropped_turns": dropped},
    )
