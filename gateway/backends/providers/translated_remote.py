"""A remote server with an API of its own. Its kinds translate chat completions to this API, and its answers back.

Everything after the translation is as for an OpenAI-compatible server: a stream is judged as the stream of a chat
completion, so an error before any content can hand over to another backend.
"""

from collections.abc import Sequence
from math import ceil
from typing import Protocol

from msgspec.structs import replace

from gateway.ask import Endpoint
from gateway.backends.as_events import as_events
from gateway.backends.connection_pool import UpstreamAnswer
from gateway.backends.judged import PieceSource
from gateway.backends.packed_stream import READABLE, UnpackedAnswer, WholeSource
from gateway.backends.remote import CUT_SHORT, MB, Remote
from gateway.backends.reply_headers import passed_back
from gateway.backends.sampling import within
from gateway.backends.translated import EVENTS, JSON, OF_THE_BODY
from gateway.exchange import Exchange, Note
from gateway.ports import Headers, ModelCard, Reply
from gateway.wire.chat import next_draw
from gateway.wire.chat.chunks import CompletionHead
from gateway.wire.messages.losses import Losses

SENT_ON = (b"traceparent", b"tracestate", b"baggage", b"x-request-id", b"idempotency-key")
"""The client's headers that such a server may get. The others belong to OpenAI's and Anthropic's APIs."""
RETRY = b"retry-after"


class ProviderStream(Protocol):
    """Translates the bytes of a provider's stream, cut anywhere, to the stream of a chat completion."""

    over: bool
    unreadable: int

    def feed(self, piece: bytes) -> bytes: ...

    def end(self) -> bytes: ...


class ProviderRefusal(Protocol):
    """A refusal in OpenAI's form."""

    @property
    def status(self) -> int: ...

    @property
    def body(self) -> bytes: ...

    @property
    def retry_after_s(self) -> float: ...


class TranslatedSource:
    """An upstream's answer whose pieces are translated while they are read."""

    def __init__(self, answer: PieceSource, translator: ProviderStream, losses: Losses, notes: list[Note]) -> None:
        """At the end of the stream, a note about what was lost is added to `notes`."""
        self._answer = answer
        self._translator = translator
        self._losses = losses
        self._notes = notes
        self._ended = False

    async def piece(self) -> bytes:
        """Return the next chunks, or b"" at the end."""
        while not self._ended:
            piece = await self._answer.piece()
            if piece:
                chunks = self._translator.feed(piece)
            else:
                self._ended = True
                chunks = self._translator.end()
            if self._translator.over:
                self._ended = True
            if self._ended:
                self._note()
            if chunks:
                return chunks
        return b""

    def close(self) -> None:
        self._answer.close()

    def _note(self) -> None:
        if count := self._translator.unreadable:
            self._notes.append(Note("stream", "passed over", f"{count} events could not be read"))
        if (lost := self._losses.note()) is not None:
            self._notes.append(lost)


class TranslatedRemote(Remote):
    """A server with an API of its own. The kinds implement the methods that raise `NotImplementedError`."""

    has_paths = False
    served: tuple[Endpoint, ...] = (Endpoint.CHAT,)
    keeps_thinking = True

    def models(self) -> Sequence[ModelCard]:
        window, sampling = self._settings.window_tokens, self._settings.sampling
        names = self._settings.models
        return [
            ModelCard(name, self.served, window, sampling=sampling, keeps_thinking=self.keeps_thinking)
            for name in names
        ]

    def address(self, exchange: Exchange, model: str) -> bytes:
        """Return the path and the query of a request."""
        raise NotImplementedError

    def translated(self, exchange: Exchange, model: str, losses: Losses) -> bytes:
        """Return the body of a request. Raises `BadRequest`, which names the field that cannot be translated."""
        raise NotImplementedError

    def completion(self, body: bytes, exchange: Exchange, head: CompletionHead, losses: Losses) -> bytes:
        """Translate a whole answer. Raises `BackendFailed`."""
        raise NotImplementedError

    def stream(self, head: CompletionHead, losses: Losses) -> ProviderStream:
        raise NotImplementedError

    def refused(self, body: bytes, status: int, headers: Headers) -> ProviderRefusal:
        """Translate a refusal."""
        raise NotImplementedError

    async def send(self, exchange: Exchange, model: str, headers: Headers) -> Reply:
        losses = Losses()
        content = self.translated(within(exchange, self._settings.sampling), model, losses)
        sent_on = tuple([header for header in headers if header[0] in SENT_ON])
        answer = await self._post(self.address(exchange, model), content, sent_on)
        return await self._translated_reply(answer, exchange, model, losses)

    async def _translated_reply(self, answer: UpstreamAnswer, exchange: Exchange, model: str, losses: Losses) -> Reply:
        status = answer.status
        self._refuse_redirect(answer)
        encoding = next((value for name, value in answer.headers if name == b"content-encoding"), b"").decode("latin-1")
        source: WholeSource = answer
        if encoding.strip().lower() in READABLE:
            source = UnpackedAnswer(answer, encoding.strip().lower(), self._settings.max_answer_mb * MB)
        kept = tuple([header for header in passed_back(answer.headers) if header[0] not in OF_THE_BODY])
        notes = list(filter(None, (losses.note(),)))
        reply = Reply(status, (*JSON, *kept), backend=self.name, model=model, notes=notes)
        head = self._head(exchange, model)
        if status < 300 and self._is_stream(answer.headers):
            late = Losses()
            stream = TranslatedSource(source, self.stream(head, late), late, reply.notes)
            return await self._stream(b"", stream, exchange, replace(reply, headers=(*EVENTS, *kept)))
        whole = await self._read(source.whole(), source, CUT_SHORT)
        if status >= 300:
            return self._refused(reply, whole, answer.headers)
        late = Losses()
        reply.body = self.completion(whole, exchange, head, late)
        reply.notes.extend(filter(None, (late.note(),)))
        return as_events(reply, exchange.ask) if exchange.ask.stream else reply

    def _head(self, exchange: Exchange, model: str) -> CompletionHead:
        wants_usage = exchange.ask.stream and next_draw.wants_usage(exchange.ask.content)
        return CompletionHead("chatcmpl-" + exchange.id, model, int(exchange.started_s), wants_usage)

    def _is_stream(self, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        kind = next((value for name, value in headers if name == b"content-type"), b"")
        return kind.strip().lower().startswith((b"text/event-stream", b"application/vnd.amazon.eventstream"))

    def _refused(self, reply: Reply, body: bytes, headers: Sequence[tuple[bytes, bytes]]) -> Reply:
        refusal = self.refused(body, reply.status, tuple(headers))
        self.forget_refused(refusal.status)  # the body may tell more than the status of the answer
        if refusal.retry_after_s and not any(name == RETRY for name, _ in reply.headers):
            seconds = b"%d" % ceil(refusal.retry_after_s)
            reply.headers = (*reply.headers, (RETRY, seconds))
        reply.status, reply.body = refusal.status, refusal.body
        return reply
