"""Encodes an exchange as a request body. Parts that no stage changed keep the client's bytes."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from gateway.ask import Endpoint, Turn
from gateway.exchange import Exchange, Sampling
from gateway.wire.added import with_additions
from gateway.wire.chat.request import ChatRequest, read_request
from gateway.wire.messages import request as messages
from gateway.wire.messages.as_chat import TranslatedRequest
from gateway.wire.responses import request as responses

_object = msgspec.json.Decoder(dict[str, Raw])
_list = msgspec.json.Decoder(list[Raw])
_text = msgspec.json.Decoder(str)
_encode = msgspec.json.Encoder().encode

NO_MESSAGES = Raw(b"[]")
ROOM = "max_tokens"
ROOM_FIELDS = frozenset({ROOM, "max_completion_tokens", "max_output_tokens"})
_KEY = re.compile(rb'"model"\s*:')
_ANY_MODEL = re.compile(rb'"[mM][oO][dD][eE][lL]"')
_ESCAPED = re.compile(rb"\\u00[4-7]")  # an escaped letter, which ordinary programs do not write
ROUTING = frozenset(
    {
        "models",
        "route",
        "fallbacks",
        "context_window_fallbacks",
        "content_policy_fallbacks",
        "default_fallbacks",
        "preset",
    }
)
"""Fields that OpenRouter, LiteLLM and similar servers read to choose a model other than the one in `model`."""
_ANY_ROUTING = re.compile(b'"(?:' + "|".join(sorted(ROUTING)).encode() + b')"', re.IGNORECASE)
_MODEL = re.compile(rb'"model"\s*:\s*("[^"\\]*")')


def body(exchange: Exchange, model: str, *, force: Mapping[str, Any] | None = None, room_field: str = ROOM) -> bytes:
    """Return the body for a backend. `model` is the backend's name for the model.

    If no stage changed the request, only the model's name is replaced. Otherwise, unchanged fields and messages stay
    byte for byte. The fields in `force` replace the client's fields. `room_field` is the backend's name for the field
    with the maximum answer length.
    """
    ask = exchange.ask
    raw = ask.content
    is_renamed = ask.owns_room and room_field != ROOM
    if not exchange.changed and not ask.marked and not force and not is_renamed and _is_clear(exchange):
        if model == ask.model:
            return raw
        names = _MODEL.findall(raw)
        # a single match can only be the top-level field, because quotes inside a JSON string are escaped
        if len(names) == len(_KEY.findall(raw)) == 1 and _text.decode(names[0]) == ask.model:
            return _MODEL.sub(lambda match: _renamed(match, model), raw, count=1)
    fields = _object.decode(raw)
    fields.pop("foreword", None)
    for name in [name for name in fields if name != "model" and name.lower() == "model"]:
        del fields[name]
    if exchange.key.models:
        fields = {name: value for name, value in fields.items() if name.lower() not in ROUTING}
    fields["model"] = Raw(_encode(model))
    if ask.spoken_for:
        fields.pop("prompt", None)
    if exchange.changed:
        if ask.endpoint is Endpoint.RESPONSES:
            responses.put_turns(fields, exchange.sent)
            fields.update(_sampling(exchange.sampling, fields, "max_output_tokens", stop=""))
        elif ask.endpoint is Endpoint.MESSAGES:
            messages.put_turns(fields, exchange.sent)
            fields.update(_sampling(exchange.sampling, fields, "max_tokens", stop="stop_sequences"))
        else:
            fields["messages"] = _messages(exchange.sent, fields.get("messages", NO_MESSAGES))
            fields.update(_sampling(exchange.sampling, fields, room_field))
    if is_renamed and ROOM in fields:
        fields[room_field] = fields.pop(ROOM)
    for name, value in (force or {}).items():
        fields[name] = Raw(_encode(value))
    return _encode(fields)


def request(exchange: Exchange, model: str) -> ChatRequest:
    """Return the request for a backend, decoded. `model` is the backend's name for the model.

    Raises `BadRequest`, which names the field, for a wrong type.
    """
    ask = exchange.ask
    is_same = model == ask.model and not (exchange.changed or ask.marked or exchange.key.models)
    if is_same and not ask.raw and isinstance(ask.unwritten, TranslatedRequest):
        return ask.unwritten
    return read_request(body(exchange, model))


def question(model: str, turns: Sequence[Turn], sampling: Sampling, schema: Mapping[str, Any] | None = None) -> bytes:
    """Encode a chat request that the gateway itself sends. `schema` is the JSON schema of the answer."""
    fields: dict[str, Any] = {
        "model": model,
        "messages": [{"role": turn.role, "content": turn.text} for turn in turns],
    }
    if sampling.max_tokens:
        fields["max_tokens"] = sampling.max_tokens
    if sampling.temperature is not None:
        fields["temperature"] = sampling.temperature
    if sampling.stop:
        fields["stop"] = sampling.stop
    if schema is not None:
        answer_format = {"name": "answer", "schema": schema, "strict": True}
        fields["response_format"] = {"type": "json_schema", "json_schema": answer_format}
    return _encode(fields)


def _is_clear(exchange: Exchange) -> bool:
    """Return whether every server would read the same model name from the client's bytes as the gateway does.

    If a body has two `model` fields, the gateway reads the last one, but some servers read the first. Some servers also
    accept `Model`, or choose the model by other fields. Without this check, a client could use a model that its key
    does not allow.
    """
    if not exchange.key.models:
        return True
    raw = exchange.ask.content
    if len(_ANY_MODEL.findall(raw)) <= 1 and not _ESCAPED.search(raw) and not _ANY_ROUTING.search(raw):
        return True
    names: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        names[:] = [name for name, _ in pairs]  # the parser calls this for the outermost object last

    try:
        json.loads(raw, object_pairs_hook=note, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return False
    return sum(name.lower() == "model" for name in names) <= 1 and not any(name.lower() in ROUTING for name in names)


def _renamed(match: re.Match[bytes], model: str) -> bytes:
    whole, name = match.group(0), match.group(1)
    return whole[: len(whole) - len(name)] + _encode(model)


def _messages(turns: Sequence[Turn], original: Raw) -> Raw:
    own = _list.decode(original)
    return Raw(b"[" + b",".join(_message(turn, own) for turn in turns) + b"]")


def _message(turn: Turn, own: Sequence[Raw]) -> bytes:
    if turn.source >= 0:
        return bytes(own[turn.source])
    if turn.around >= 0:
        return with_additions(own[turn.around], turn, "text")
    return _encode({"role": turn.role, "content": turn.text})


def _sampling(sampling: Sampling, fields: Mapping[str, Raw], room_field: str, *, stop: str = "stop") -> dict[str, Raw]:
    """Return the template's sampling settings that the client has not set. `stop` is the backend's field for stop
    words, or "" for `/v1/responses`, which has no such field."""
    if sampling == Sampling.NONE:
        return {}
    given = {name for name, value in fields.items() if bytes(value) != b"null"}
    extra: dict[str, Raw] = {}
    if sampling.max_tokens and not given & ROOM_FIELDS:
        extra[room_field] = Raw(_encode(sampling.max_tokens))
    if sampling.temperature is not None and "temperature" not in given:
        extra["temperature"] = Raw(_encode(sampling.temperature))
    if stop and sampling.stop and stop not in given:
        extra[stop] = Raw(_encode(sampling.stop))
    return extra
