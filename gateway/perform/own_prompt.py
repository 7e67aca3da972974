"""Sends the client's own prompt to models for which the rewritten prompt is not proven to help."""

from itertools import takewhile

from msgspec.structs import replace

from gateway.ask import Turn
from gateway.context.fence import MarkOf, fenced, language_of
from gateway.context.retrieve import ahead_of_the_user
from gateway.exchange import Arm, Exchange, Rewrite, Target
from gateway.prompt.withdrawal import withdrawn


def split_route(exchange: Exchange) -> tuple[tuple[Target, ...], tuple[Target, ...]]:
    """Return the targets that get the rewritten prompt, and the targets that get the client's own prompt.

    The first target whose model is not proven gets the client's own prompt, and so do all targets after it.
    """
    if exchange.proven is None or not exchange.changed:
        return exchange.route, ()
    proven = exchange.proven
    first = tuple(takewhile(lambda target: target.model in proven, exchange.route))
    return first, exchange.route[len(first) :]


def with_own_prompt(exchange: Exchange, route: tuple[Target, ...], mark_of: MarkOf) -> Exchange:
    """Return the exchange for `route`, with the client's own prompt and the retrieved passages.

    The rewritten prompt is recorded in `rewrite.withheld`.
    """
    reason = f"not proven for model {route[0].model}, which answers instead"
    own = withdrawn(exchange, str(Arm.SHADOW), reason)
    rewrite = replace(own.rewrite, arm=Arm.SHADOW) if own.rewrite != Rewrite.NONE else own.rewrite
    return replace(own, turns=_with_passages(exchange, mark_of), proven=None, rewrite=rewrite, route=route)


def _with_passages(exchange: Exchange, mark_of: MarkOf) -> tuple[Turn, ...] | None:
    if not exchange.chunks:
        return None
    language = exchange.intent.language or language_of(exchange.ask.query)
    return ahead_of_the_user(exchange.ask.turns, fenced(exchange.chunks, language, mark_of))
