"""Lets every backend with chat answer `/v1/responses`, by translating requests and answers.

If a backend serves `/v1/responses` itself for a model, requests and answers pass through byte for byte.
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec.structs import replace

from gateway.ask import Endpoint, Mode
from gateway.backends.routing.aliases import matches
from gateway.backends.routing.routes import AUTO
from gateway.backends.translated import EVENTS, JSON, TranslatedStream, translated_headers, uncompressed
from gateway.errors import BackendFailed
from gateway.exchange import Exchange, Note, Sampling
from gateway.ports import Headers, ModelCard, Reply, is_encoded
from gateway.wire.chat import decode, encode
from gateway.wire.responses.answer import Translator, head_of, whole
from gateway.wire.responses.as_chat import chat_body, left_out
from gateway.wire.responses.search import shown


class ModelSender(Protocol):
    """The part of a backend that the translation uses."""

    def models(self) -> Sequence[ModelCard]: ...

    async def send(self, exchange: Exchange, model: str, headers: Headers) -> Reply: ...


class ResponsesOverChat:
    """A backend that answers `/v1/responses` too. `Caller` uses this wrapper."""

    def __init__(self, backend: ModelSender) -> None:
        self._backend = backend

    async def send(self, exchange: Exchange, model: str, headers: Headers) -> Reply:
        if exchange.ask.endpoint is not Endpoint.RESPONSES or speaks(self._backend, model):
            return await self._backend.send(exchange, model, headers)
        reply = await self._backend.send(as_chat(exchange, model), model, uncompressed(headers))
        return await as_response(exchange, reply)


def speaks(backend: ModelSender, model: str, endpoint: Endpoint = Endpoint.RESPONSES) -> bool:
    """Whether the backend itself serves the endpoint for this model."""
    return any(endpoint in card.endpoints and matches(model, card.name) for card in backend.models())


async def as_response(exchange: Exchange, reply: Reply) -> Reply:
    """Translate the reply to a chat completion into a reply to `/v1/responses`. A refusal stays unchanged."""
    if reply.status >= 300:
        return reply
    if names := left_out(exchange.ask.raw):
        reply.notes.append(Note("include", "left out", f"a chat completion has no {', '.join(names)}"))
    model = reply.model if exchange.ask.model in AUTO else exchange.ask.model
    head = head_of(exchange.id, exchange.ask, model, int(exchange.started_s))
    search = shown(exchange)
    if reply.pieces is None:
        return replace(reply, headers=translated_headers(reply, JSON), body=whole(reply.body, head, search))
    if is_encoded(reply.headers):
        await reply.aclose()
        raise BackendFailed(f"The backend {reply.backend!r} compresses its streams, which cannot be translated.")
    pieces = TranslatedStream(reply.pieces, Translator(head, search), reply.notes)
    return replace(reply, headers=translated_headers(reply, EVENTS), pieces=pieces, end=pieces.end_mark)


def as_chat(exchange: Exchange, model: str) -> Exchange:
    """Translate the request to a chat completion. Raises `BadRequest` for fields that chat completions lack."""
    # not in the body: the field for the answer's length has another name in each backend
    body = encode.body(replace(exchange, sampling=Sampling.NONE), model)
    ask = decode.chat(chat_body(body, searched=exchange.searched is not None, offer=exchange.mcp), {})
    wished = exchange.sampling if exchange.changed else Sampling.NONE
    sampling = replace(wished, max_tokens=exchange.ask.room_tokens or wished.max_tokens)
    chat = replace(exchange.ask, endpoint=Endpoint.CHAT, raw=ask.raw, turns=ask.turns, named=None, marked=False)
    procedure = exchange.procedure if exchange.changed else None
    return replace(exchange, ask=chat, mode=Mode.ON, turns=ask.turns, sampling=sampling, procedure=procedure)
