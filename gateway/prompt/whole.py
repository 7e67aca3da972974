"""The last stage of `prepare`. It removes the rewrite if the client's message would not be sent as a whole.

The position of the message is known from the rendering, so no search is needed. The following changes are exempt, and a
note records them: a prompt, template or stage that the request names, a promoted version of the application's own
prompt, a strategy for long inputs, and a refined prompt.
"""

from msgspec.structs import replace

from gateway.ask import Turn
from gateway.exchange import Exchange
from gateway.prompt.refine import PURPOSE as REFINED
from gateway.prompt.swap import FOUND
from gateway.prompt.withdrawal import withdrawn

IN_WHOLE = ("direct", "trimmed")
"""The strategies that do not change the text of any message."""


class WholeStage:
    name = "whole"

    async def __call__(self, exchange: Exchange) -> Exchange:
        if exchange.turns is None or is_whole(exchange):
            return exchange
        why = _exemption(exchange)
        if why:
            return exchange.noted(self.name, "exempt", why)
        reason = f"{exchange.rewrite.template} would not send the client's message whole"
        return replace(withdrawn(exchange, "undone"), chunks=()).noted(self.name, "undone", reason)


def is_whole(exchange: Exchange) -> bool:
    """Return whether the last user message still contains the client's last message in full.

    The turn records where the client's message must be.
    """
    own = _last_user(exchange.ask.turns)
    turn = _last_user(exchange.turns or ())
    if own is None or turn is None:
        return own is turn
    if turn.source >= 0:
        return turn.source == own.source
    return turn.around == own.source >= 0 and turn.text.startswith(own.text, turn.offset)


def _last_user(turns: tuple[Turn, ...]) -> Turn | None:
    return next((turn for turn in reversed(turns) if turn.role == "user"), None)


def _exemption(exchange: Exchange) -> str:
    """Return the reason why the message need not be sent as a whole, or "" if it must be."""
    if exchange.ask.spoken_for:
        return "the request names its prompt"
    if exchange.ask.controls.template:
        return "the request names its template"
    if exchange.rewrite.technique == FOUND:
        return "a version of the application's own prompt was promoted"
    if exchange.rewrite.technique == REFINED:
        return "the refiner wrote the prompt"
    if exchange.plan.strategy not in IN_WHOLE:
        return f"the strategy {exchange.plan.strategy} reads a text that is too long for the window"
    return "" if exchange.rewrite.template else "a stage that the request asked for changed it"
