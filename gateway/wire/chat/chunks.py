"""Writes chat completions and the chunks of their streams, for translations from other APIs."""

from typing import Any

import msgspec
from msgspec import Struct

_encode = msgspec.json.Encoder().encode
DONE = b"data: [DONE]\n\n"


class CompletionHead(Struct, frozen=True):
    """The fields of a translated completion that do not come from the answer."""

    id: str
    model: str
    created_s: int
    wants_usage: bool = False

    def about(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created_s, "model": self.model}

    def call_id(self, number: int) -> str:
        """Return an id for a call to which the backend gave none. It is unique among all answers."""
        return f"call_{self.id.removeprefix('chatcmpl-').replace('-', '_')}_{number}"


class ChunkWriter:
    """Writes the chunks of one stream."""

    def __init__(self, head: CompletionHead) -> None:
        self._head = head
        self._about = head.about("chat.completion.chunk")

    def chunk(
        self, delta: dict[str, Any], finish: str | None = None, index: int = 0, logprobs: Any = None, **extra: Any
    ) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish, **extra}
        return self.framed({"choices": [choice]})

    def begin(self, index: int = 0) -> bytes:
        return self.chunk({"role": "assistant", "content": ""}, index=index)

    def done(self, usage: dict[str, Any]) -> bytes:
        """Return the chunk with the usage, if the client asked for it, and the end mark."""
        return (self.framed({"choices": [], "usage": usage}) if self._head.wants_usage else b"") + DONE

    def framed(self, fields: dict[str, Any]) -> bytes:
        return b"data: " + _encode({**self._about, **fields}) + b"\n\n"


def fault_chunk(message: str, kind: str, status: int) -> bytes:
    """Return the chunk for a failure that the backend reported inside its stream. The status is the error's code, so
    that a failure before any content can be answered with it.
    """
    return b"data: " + _encode({"error": {"message": message, "type": kind, "param": None, "code": status}}) + b"\n\n"


def whole_completion(head: CompletionHead, choices: list[dict[str, Any]], usage: dict[str, Any]) -> bytes:
    return _encode({**head.about("chat.completion"), "choices": choices, "usage": usage})


def usage_of(prompt: int, completion: int, cached: int, written: int, reasoning: int | None) -> dict[str, Any]:
    """Return chat's usage. `prompt` and `completion` are all tokens, with those from a cache and of the reasoning."""
    counts: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
    }
    if reasoning is not None:
        counts["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return counts


def arguments_of(value: Any) -> str:
    """Return a call's arguments as the text that chat has for them."""
    return _encode(value or {}).decode()
