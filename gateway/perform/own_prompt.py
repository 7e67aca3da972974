"""Sends the client's own prompt to models for which the rewritten prompt was not measured to help."""

from itertools import takewhile

from msgspec.structs import replace

from gateway.ask import Turn
from gateway.context.fence import fenced, language_of, new_mark
from gateway.context.retrieve import ahead_of_the_user
from gateway.exchange import Arm, Exchange, Rewrite, Sampling, Target

REWRITES = ("rewrite", "refine")


def split_route(exchange: Exchange) -> tuple[tuple[Target, ...], tuple[Target, ...]]:
    """Split the route: the targets that get the exchange's prompt, and the later ones that get the client's own
    prompt."""
    if exchange.proven is None or not exchange.changed:
        return exchange.route, ()
    proven = exchange.proven
    first = tuple(takewhile(lambda target: target.model in proven, exchange.route))
    return first, exchange.route[len(first) :]


def with_own_prompt(exchange: Exchange, route: tuple[Target, ...]) -> Exchange:
    """The exchange with the client's own prompt and the passages of the exchange, for these targets. The rewritten
    prompt is recorded in `rewrite.withheld`."""
    reason = f"not proven for model {route[0].model}, which answers instead"
    notes = [
        replace(note, decision=str(Arm.SHADOW), reason=f"{note.reason}; {reason}")
        if note.stage in REWRITES and note.decision in ("rewritten", "refined")
        else note
        for note in exchange.notes
    ]
    rewrite = exchange.rewrite
    if rewrite != Rewrite.NONE:
        rewrite = replace(rewrite, arm=Arm.SHADOW, withheld=exchange.sent)
    return replace(
        exchange,
        turns=_with_passages(exchange),
        sampling=Sampling.NONE,
        procedure=None,
        proven=None,
        rewrite=rewrite,
        route=route,
        notes=tuple(notes),
    )


def _with_passages(exchange: Exchange) -> tuple[Turn, ...] | None:
    if not exchange.chunks:
        return None
    language = exchange.intent.language or language_of(exchange.ask.query)
    return ahead_of_the_user(exchange.ask.turns, fenced(exchange.chunks, language, new_mark))
