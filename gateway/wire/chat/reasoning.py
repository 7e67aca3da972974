"""Moves the reasoning in a chat answer's text to the field `reasoning_content`. `content` then holds only the
answer."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from gateway.marker import Splitter, split
from gateway.wire.sse import SseEvent, events

_object = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode
DONE = b"[DONE]"
CONTENT, REASONING = "content", "reasoning_content"


def split_body(body: bytes, marker: str) -> bytes:
    """Separate the reasoning from the answer in each choice. A body without reasoning is returned unchanged."""
    whole = _try(body)
    changed = False
    for choice in _choices(whole):
        message: Any = choice.get("message")
        text = message.get(CONTENT) if isinstance(message, dict) else None
        parts = split(text, marker) if isinstance(text, str) else None
        if parts is not None:
            message[REASONING], message[CONTENT] = parts
            changed = True
    return _encode(whole) if changed else body


class SplitStream:
    """Separates the reasoning from the answer in a chat stream, piece by piece.

    Events without text pass unchanged. Text is held back only while its line may still become the marker between
    reasoning and answer.
    """

    def __init__(self, pieces: AsyncIterator[bytes], marker: str) -> None:
        self._pieces = pieces
        self._marker = marker
        self._splitters: dict[int, Splitter] = {}
        self._head: dict[str, Any] = {}

    def __aiter__(self) -> "SplitStream":
        return self

    async def __anext__(self) -> bytes:
        try:
            return self._split(await anext(self._pieces))
        except StopAsyncIteration:
            if rest := self._rest():
                return rest
            raise

    async def aclose(self) -> None:
        close = getattr(self._pieces, "aclose", None)
        if close is not None:
            await close()

    def _split(self, piece: bytes) -> bytes:
        out, position = bytearray(), 0
        for event in events(piece):
            out += piece[position : event.start]
            out += self._event(event, piece[event.start : event.stop])
            position = event.stop
        return bytes(out) + piece[position:]

    def _event(self, event: SseEvent, framed: bytes) -> bytes:
        if event.data.strip() == DONE:
            return self._rest() + framed
        fields = _try(event.data)
        if not fields:
            return framed
        self._head = {name: value for name, value in fields.items() if name not in ("choices", "usage")}
        texts = [self._choice(choice) for choice in _choices(fields)]
        return b"data: " + _encode(fields) + b"\n\n" if any(texts) else framed

    def _rest(self) -> bytes:
        """Return events with the text that is still held back, for choices without a finish reason."""
        held = []
        for index, splitter in self._splitters.items():
            parts = zip((REASONING, CONTENT), splitter.finish(), strict=True)
            delta = {name: text for name, text in parts if text}
            if delta:
                choice = {"index": index, "delta": delta, "finish_reason": None}
                held.append(b"data: " + _encode({**self._head, "choices": [choice]}) + b"\n\n")
        self._splitters.clear()
        return b"".join(held)

    def _choice(self, choice: dict[str, Any]) -> bool:
        """Split the text of one choice in place. Returns False if the choice has no text to split."""
        delta = choice.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        text, finished = delta.get(CONTENT) or "", choice.get("finish_reason") is not None
        if not isinstance(text, str):
            return False
        if not text and not finished:
            return False
        splitter = self._splitters.setdefault(choice.get("index", 0), Splitter(self._marker))
        reasoning, answer = splitter.feed(text) if text else ("", "")
        if finished:
            del self._splitters[choice.get("index", 0)]
            more, rest = splitter.finish()
            reasoning, answer = reasoning + more, answer + rest
        delta.pop(CONTENT, None)
        delta.update({name: part for name, part in ((REASONING, reasoning), (CONTENT, answer)) if part})
        choice["delta"] = delta
        return True


def _choices(fields: dict[str, Any] | None) -> list[dict[str, Any]]:
    choices = (fields or {}).get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def _try(data: bytes) -> dict[str, Any] | None:
    try:
        return _object.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
