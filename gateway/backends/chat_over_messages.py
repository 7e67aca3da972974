"""Lets a backend for Anthropic's API answer chat completions too, by translating requests and answers."""

from collections.abc import Sequence

from msgspec.structs import replace

from gateway.ask import Endpoint, Mode
from gateway.backends.messages_over_chat import keeps_thinking
from gateway.backends.responses import ModelSender, speaks
from gateway.backends.routing.aliases import matches
from gateway.backends.sampling import within
from gateway.backends.translated import EVENTS, JSON, TranslatedStream, translated_headers, uncompressed
from gateway.errors import BackendFailed
from gateway.exchange import Exchange, Sampling
from gateway.ports import Headers, ModelCard, Reply, is_encoded
from gateway.wire.chat import encode, next_draw
from gateway.wire.chat.chunks import CompletionHead
from gateway.wire.errors import rewritten
from gateway.wire.messages.as_completion import CompletionTranslator, whole
from gateway.wire.messages.extensions import plain_body
from gateway.wire.messages.losses import Losses
from gateway.wire.messages.of_chat import messages_body


class ChatOverMessages:
    """A backend that also answers chat completions."""

    def __init__(self, backend: ModelSender) -> None:
        self._backend = backend

    def models(self) -> Sequence[ModelCard]:
        return self._backend.models()

    async def send(self, exchange: Exchange, model: str, headers: Headers) -> Reply:
        if exchange.ask.endpoint is not Endpoint.CHAT or not speaks(self._backend, model, Endpoint.MESSAGES):
            if exchange.ask.is_extended and not keeps_thinking(self._backend, model):
                return await self._send_plain(exchange, model, headers)
            return await self._backend.send(exchange, model, headers)
        losses = Losses()
        translated = as_messages(exchange, model, self._backend, losses)
        reply = await self._backend.send(translated, model, uncompressed(headers))
        return await as_completion(exchange, reply, losses)

    async def _send_plain(self, exchange: Exchange, model: str, headers: Headers) -> Reply:
        """Send a request that was translated for another backend, without the fields that only that backend takes."""
        losses = Losses()
        raw = plain_body(exchange.ask.content, losses)
        plain = replace(exchange, ask=replace(exchange.ask, raw=raw, is_extended=False))
        reply = await self._backend.send(plain, model, headers)
        reply.notes.extend(filter(None, (losses.note(),)))
        return reply


def as_messages(exchange: Exchange, model: str, backend: ModelSender, losses: Losses) -> Exchange:
    """Translate a chat completion request to a messages request. Raises `BadRequest` for fields that Anthropic's API
    lacks.
    """
    card = next(card for card in backend.models() if matches(model, card.name))
    body = encode.body(within(exchange, card.sampling), model)
    raw = messages_body(body, card.answer_tokens, losses)
    ask = replace(exchange.ask, endpoint=Endpoint.MESSAGES, model=model, raw=raw, turns=(), named=None, marked=False)
    # nothing is left to change in the translated body
    return replace(exchange, ask=ask, mode=Mode.OFF, turns=None, sampling=Sampling.NONE, procedure=None)


async def as_completion(exchange: Exchange, reply: Reply, losses: Losses) -> Reply:
    """Translate the reply to a messages request into a chat completion. A refusal keeps its status and its message."""
    if (lost := losses.note()) is not None:
        reply.notes.append(lost)
    if reply.status >= 300:
        return replace(reply, headers=translated_headers(reply, JSON), body=rewritten(reply.body, reply.status))
    wants_usage = exchange.ask.stream and next_draw.wants_usage(exchange.ask.content)
    head = CompletionHead("chatcmpl-" + exchange.id, reply.model, int(exchange.started_s), wants_usage)
    late = Losses()
    if reply.pieces is None:
        body = whole(reply.body, head, late)
        reply.notes.extend(filter(None, (late.note(),)))
        return replace(reply, headers=translated_headers(reply, JSON), body=body)
    if is_encoded(reply.headers):
        await reply.aclose()
        raise BackendFailed(f"The backend {reply.backend!r} compresses its streams, which cannot be translated.")
    pieces = TranslatedStream(reply.pieces, CompletionTranslator(head, late), reply.notes, late.note)
    return replace(reply, headers=translated_headers(reply, EVENTS), pieces=pieces, end=pieces.end_mark)
