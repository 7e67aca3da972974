"""What the stages decided about a request, as JSON: the answer of the preview and of `foreword explain`."""

import msgspec

from gateway.exchange import Exchange
from gateway.wire import encode

_encode = msgspec.json.Encoder().encode


def shown(exchange: Exchange) -> bytes:
    """The decisions, the messages before and after, and the body that the first target would get."""
    target = exchange.route[0]
    return _encode(
        {
            "mode": exchange.mode,
            "changed": exchange.changed,
            "intent": exchange.intent,
            "rewrite": exchange.rewrite,
            "before": [_message(turn.role, turn.text) for turn in exchange.ask.turns],
            "after": [_message(turn.role, turn.text) for turn in exchange.prompt],
            "sampling": exchange.sampling,
            "chunks": exchange.chunks,
            "plan": exchange.plan,
            "route": exchange.route,
            "calls": exchange.calls,
            "notes": exchange.notes,
            "body": msgspec.Raw(encode.body(exchange, target.model)),
        }
    )


def _message(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}
