"""Lets every backend with chat answer `/v1/messages`, by translating requests and answers.

If a backend serves `/v1/messages` itself for a model, requests and answers pass through byte for byte.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec
from msgspec.structs import replace

from gateway.ask import Endpoint, Mode, Turn
from gateway.backends.responses import ModelSender, speaks
from gateway.backends.routing.aliases import matches
from gateway.backends.routing.routes import AUTO
from gateway.backends.translated import EVENTS, JSON, TranslatedStream, translated_headers, uncompressed
from gateway.errors import BackendFailed
from gateway.exchange import Exchange, Note, Sampling
from gateway.ports import Headers, Reply, is_encoded
from gateway.wire.chat import encode
from gateway.wire.messages.answer import MessageHead, MessageTranslator, message_id, whole
from gateway.wire.messages.as_chat import chat_body
from gateway.wire.messages.decoded_request import DecodedRequest
from gateway.wire.messages.error_form import rewritten
from gateway.wire.messages.losses import STAGE, Losses
from gateway.wire.messages.token_count import countable

OF_ANTHROPIC = (b"anthropic-beta", b"anthropic-version")
LONG_TEXT = 20_000
"""The minimum length, in characters, of a text whose tokens are counted on a worker thread. Counting the tokens of
5,000 characters takes about 1 ms.
"""
LONG_BODY = 64 * 1024
"""The minimum size, in bytes, of a body that is parsed on a worker thread. Parsing 64 kB takes about 1 ms."""
UNSEEN = Note(STAGE, "left out", "the model's reasoning (the request does not ask for thinking)")


class TranslatedBackend(Protocol):
    """A backend that can send requests. Translations may be wrapped around it."""

    async def send(self, exchange: Exchange, model: str, headers: Headers) -> Reply: ...


class MessagesOverChat:
    """A backend that also answers `/v1/messages` and `/v1/messages/count_tokens`. `Caller` uses this wrapper in place
    of the backend.
    """

    def __init__(self, backend: TranslatedBackend, models: ModelSender, count: Callable[[str], int]) -> None:
        """`models` is the backend without translations, and tells which endpoints its models serve. `backend` is the
        same backend, wrapped in the other translations.
        """
        self._backend = backend
        self._models = models
        self._count = count

    async def send(self, exchange: Exchange, model: str, headers: Headers) -> Reply:
        endpoint = exchange.ask.endpoint
        if not endpoint.is_anthropic or speaks(self._models, model, endpoint):
            return await self._backend.send(exchange, model, headers)
        if endpoint is Endpoint.TOKEN_COUNT:
            return await self._counted(exchange, model)
        chat = as_chat(exchange, model, extended=keeps_thinking(self._models, model))
        reply = await self._backend.send(chat, model, chat_headers(headers))
        reply.notes.extend(chat.notes[len(exchange.notes) :])
        return await as_message(exchange, reply)

    async def _counted(self, exchange: Exchange, model: str) -> Reply:
        raw = exchange.ask.raw
        text, extra = await asyncio.to_thread(countable, raw) if len(raw) > LONG_BODY else countable(raw)
        tokens = await asyncio.to_thread(self._count, text) if len(text) > LONG_TEXT else self._count(text)
        body = msgspec.json.encode({"input_tokens": tokens + extra})
        note = Note("count", "estimated", "the backend cannot count tokens, so the gateway counted")
        return Reply(200, JSON, body, backend=exchange.route[0].backend, model=model, notes=[note])


def keeps_thinking(backend: ModelSender, model: str) -> bool:
    """Whether the backend's chat completions take and give Anthropic's own fields for this model."""
    return any(card.keeps_thinking and matches(model, card.name) for card in backend.models())


def as_chat(exchange: Exchange, model: str, *, extended: bool = False) -> Exchange:
    """Translate the request to a chat completion. A note lists the fields that were left out. With `extended`, the
    backend's chat completions take Anthropic's own fields too.

    Raises `BadRequest` for fields that chat completions lack.
    """
    ask, losses = exchange.ask, Losses()
    if not (exchange.changed or ask.marked or exchange.key.models):
        read = ask.read if isinstance(ask.read, DecodedRequest) and ask.read.raw is ask.raw else None
        made = chat_body(read or ask.raw, losses, model, ask.room_tokens, extended=extended)
        chat = replace(
            ask,
            endpoint=Endpoint.CHAT,
            model=model,
            raw=b"",
            unwritten=made,
            read=None,
            turns=(),
            owns_room=True,
            may_require_call=made.has_choice,
            is_extended=extended,
        )
        return replace(
            exchange, ask=chat, turns=None, sampling=Sampling.NONE, procedure=None, notes=_noted(exchange, losses)
        )
    # not in the body: the field for the answer's length has another name in each backend
    made = chat_body(encode.body(replace(exchange, sampling=Sampling.NONE), model), losses, extended=extended)
    turns = tuple([Turn(message.role, "", place, plain=False) for place, message in enumerate(made.messages)])
    wished = exchange.sampling if exchange.changed else Sampling.NONE
    sampling = replace(wished, max_tokens=exchange.ask.room_tokens or wished.max_tokens)
    chat = replace(exchange.ask, endpoint=Endpoint.CHAT, raw=made.body, turns=turns, named=None, marked=False)
    chat = replace(chat, is_extended=extended)
    procedure = exchange.procedure if exchange.changed else None
    return replace(
        exchange,
        ask=chat,
        mode=Mode.ON,
        turns=turns,
        sampling=sampling,
        procedure=procedure,
        notes=_noted(exchange, losses),
    )


def _noted(exchange: Exchange, losses: Losses) -> tuple[Note, ...]:
    lost = losses.note()
    return exchange.notes if lost is None else (*exchange.notes, lost)


async def as_message(exchange: Exchange, reply: Reply) -> Reply:
    """Translate the reply to a chat completion into a reply to `/v1/messages`. A refusal keeps its status and its
    message.
    """
    if reply.status >= 300:
        body = rewritten(reply.body, reply.status, exchange.id)
        return replace(reply, headers=translated_headers(reply, JSON), body=body)
    model = reply.model if exchange.ask.model in AUTO else exchange.ask.model
    head = MessageHead(message_id(exchange.id), model, exchange.ask.shows_thinking)
    if reply.pieces is None:
        body, is_hiding = whole(reply.body, head)
        reply.notes.extend((UNSEEN,) if is_hiding else ())
        return replace(reply, headers=translated_headers(reply, JSON), body=body)
    if is_encoded(reply.headers):
        await reply.aclose()
        raise BackendFailed(f"The backend {reply.backend!r} compresses its streams, which cannot be translated.")
    translator = MessageTranslator(head)
    pieces = TranslatedStream(
        reply.pieces, translator, reply.notes, lambda: UNSEEN if translator.hides_thinking else None
    )
    return replace(reply, headers=translated_headers(reply, EVENTS), pieces=pieces, end=pieces.end_mark)


def chat_headers(headers: Headers) -> Headers:
    """Return the request's headers without the headers of Anthropic's API."""
    return tuple([header for header in uncompressed(headers) if header[0] not in OF_ANTHROPIC])
