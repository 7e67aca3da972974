"""Reads a provider's stream as the gateway does: cut into pieces, translated, and judged as the stream of chat."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

from gateway.ask import Endpoint
from gateway.backends.connection_pool import UpstreamAnswer
from gateway.backends.http1 import Broken
from gateway.backends.judged import JudgedStream
from gateway.backends.providers.translated_remote import ProviderStream, TranslatedSource
from gateway.backends.translated import TranslatedStream
from gateway.errors import BackendFailed, RequestError, StreamFailed
from gateway.exchange import Note
from gateway.wire.error_forms import last_event
from gateway.wire.messages.answer import MessageHead, MessageTranslator
from gateway.wire.messages.losses import Losses
from gateway.wire.sse import data_in
from tests.doubles.pieces import PieceAnswer

MakeStream = Callable[[Losses], ProviderStream]


def failure(error: Exception, what: str, code: str | None = None) -> RequestError:
    return BackendFailed(f"The backend {what}.", code=code)


async def sent(
    make: MakeStream,
    pieces: list[bytes],
    *,
    broken: bool = False,
    messages: bool = False,
    notes: list[Note] | None = None,
) -> bytes:
    """Return what a client gets, or `status N` if the stream fails before any content.

    With `messages`, the client speaks Anthropic's API. With `broken`, the connection breaks after the pieces.
    """

    async def waits() -> None: ...

    losses, notes = Losses(), [] if notes is None else notes
    answer = cast(UpstreamAnswer, PieceAnswer(pieces, error=Broken() if broken else None))
    source = TranslatedSource(answer, make(losses), losses, notes)
    stream = JudgedStream(b"", source, Endpoint.CHAT, failure, marked=True)
    try:
        await stream.begin(waits, 5)
    except RequestError as error:
        return b"status %d" % error.status
    outgoing: AsyncIterator[bytes] = stream
    if messages:
        outgoing = TranslatedStream(stream, MessageTranslator(MessageHead("msg_1", "m", shows_thinking=True)), notes)
    came = []
    try:
        async for piece in outgoing:
            came.append(piece)  # noqa: PERF401  # those ahead of an error count, too
    except StreamFailed:
        pass
    except RequestError as error:
        endpoint = Endpoint.MESSAGES if messages else Endpoint.CHAT
        came.append(last_event(error, endpoint, "fw-1", came[-1] if came else b""))
    return b"".join(came)


def chunks(stream: bytes) -> list[dict[str, Any]]:
    return [json.loads(data) for data in data_in(stream) if data.startswith(b"{")]


def joined(stream: bytes, index: int = 0) -> dict[str, Any]:
    """Return the message that a stream of chat adds up to, with its finish reason and the usage."""
    message: dict[str, Any] = {"content": "", "reasoning_content": "", "tool_calls": {}, "thinking_blocks": []}
    for chunk in chunks(stream):
        message["usage"] = chunk.get("usage") or message.get("usage")
        for choice in chunk.get("choices", []):
            if choice["index"] != index:
                continue
            message["finish_reason"] = choice["finish_reason"] or message.get("finish_reason")
            delta = choice["delta"]
            for name in ("content", "reasoning_content"):
                message[name] += delta.get(name) or ""
            if delta.get("refusal"):
                message["refusal"] = delta["refusal"]
            message["thinking_blocks"] += delta.get("thinking_blocks", [])
            for part in delta.get("tool_calls", []):
                call = message["tool_calls"].setdefault(part["index"], {"arguments": ""})
                call["arguments"] += part["function"].get("arguments") or ""
                for name in ("id", "name"):
                    value = part.get(name) or part["function"].get(name)
                    if value:
                        call[name] = value
    return message
