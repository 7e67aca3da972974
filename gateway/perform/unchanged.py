"""Replaces a changed request with the client's own request after a backend has refused it."""

import json

from msgspec.structs import replace

from gateway.exchange import Call, Exchange, Note
from gateway.prompt.withdrawal import withdrawn

REFUSALS = (400, 422)
CAUSE_CHARS = 80


def may_go_unchanged(exchange: Exchange) -> bool:
    """Return whether the client's own request can be sent instead of the changed request.

    It cannot be sent if the client asked for the change (a prompt by name, sources, several contexts), or if the
    client's own prompt does not fit the context window.
    """
    ask = exchange.ask
    wished = ask.spoken_for or bool(ask.controls.contexts or exchange.chunks) or exchange.searched is not None
    return exchange.changed and not wished and exchange.plan.strategy == "direct"


def unchanged(exchange: Exchange, status: int, cause: str, backend: str = "", model: str = "") -> Exchange:
    """Return the exchange with the client's own prompt, for the backend that refused the changed one. If that was not
    the client's model, the client's own model gets it.

    `rewrite.withheld` records the refused prompt, and `calls` records the refused call. A note gives the reason.
    """
    first = exchange.route[0]
    refused = Call("refused", backend or first.backend, model or first.model, error=f"refused with {status}")
    reason = f"the changed request was refused with {status}" + (f": {cause}" if cause else "")
    own = withdrawn(exchange, "refused")
    return replace(
        own,
        route=exchange.own_route
        or tuple([target for target in exchange.route if (target.backend, target.model) == (backend, model)])
        or exchange.route,
        calls=(*exchange.calls, refused),
        notes=(*own.notes, Note("resend", "the client's own request", reason)),
    )


def cause_of(body: bytes) -> str:
    """Return the error code and the parameter that a refusal names, or "" if it names neither. The refusal's message is
    left out, since it may quote the prompt.
    """
    try:
        error = json.loads(body)["error"]
        named = [error.get("code"), error.get("param")]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""
    return " ".join(name[:CAUSE_CHARS] for name in named if isinstance(name, str))
