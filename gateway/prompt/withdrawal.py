"""Removes a rewrite from an exchange, so that the client's own prompt is sent."""

from msgspec.structs import replace

from gateway.exchange import Exchange, Note, Rewrite, Sampling

REWRITES = ("rewrite", "refine")
MADE = ("rewritten", "refined")


def withdrawn(exchange: Exchange, decision: str, why: str = "") -> Exchange:
    """Remove the rewritten messages from the exchange, and the template's decoder settings and procedure.

    The rewritten prompt is recorded in `rewrite.withheld`. In the note of the stage that rewrote the prompt, `decision`
    replaces the decision, and `why` is added to the reason.
    """
    rewrite = exchange.rewrite
    return replace(
        exchange,
        turns=None,
        sampling=Sampling.NONE,
        procedure=None,
        rewrite=replace(rewrite, withheld=exchange.sent) if rewrite != Rewrite.NONE else rewrite,
        notes=tuple([_marked(note, decision, why) for note in exchange.notes]),
    )


def _marked(note: Note, decision: str, why: str) -> Note:
    if note.stage not in REWRITES or note.decision not in MADE:
        return note
    return replace(note, decision=decision, reason=f"{note.reason}; {why}" if why else note.reason)
