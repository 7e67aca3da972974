"""Encodes the gateway's decisions about a request as JSON, for the preview and for `foreword explain`."""

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from gateway.ask import Ask
from gateway.exchange import Exchange
from gateway.wire.chat import decode
from gateway.wire.json_fields import decoded
from gateway.wire.messages import request as messages
from gateway.wire.responses import request as responses

_encode = msgspec.json.Encoder().encode


class _Either(Struct):
    messages: Raw | UnsetType = UNSET
    input: Raw | UnsetType = UNSET
    instructions: Raw | UnsetType = UNSET
    system: Raw | UnsetType = UNSET


_either = msgspec.json.Decoder(_Either)


def ask(raw: bytes, headers: Mapping[bytes, bytes]) -> Ask:
    """Decode a request of any of three APIs.

    A body with `system`, or a request with the header `anthropic-version`, is a `/v1/messages` request. A body with
    `input` or `instructions` and without `messages` is a `/v1/responses` request. Any other body is a chat completion
    request.
    """
    body = decoded(_either, raw)
    if body.system is not UNSET or b"anthropic-version" in headers:
        return messages.ask(raw, headers)
    is_response = body.messages is UNSET and not (body.input is UNSET and body.instructions is UNSET)
    return responses.ask(raw, headers) if is_response else decode.chat(raw, headers)


def shown(exchange: Exchange, body: bytes) -> bytes:
    """Encode the decisions, and the messages before and after them. `body` is the body that the first backend would
    receive."""
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
            "body": Raw(body),
        }
    )


def _message(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}
