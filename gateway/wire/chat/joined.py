"""Builds a chat completion, or its stream, from a text that the gateway joined from several answers."""

from typing import Any

import msgspec
from msgspec import Struct

_encode = msgspec.json.Encoder().encode
DONE = b"data: [DONE]\n\n"
OF_THE_BODY = frozenset({b"content-type", b"content-length", b"content-encoding"})


class AnswerHead(Struct, frozen=True):
    """The fields that are the same in every event of an answer."""

    exchange: str
    created_s: int
    model: str

    def fields(self, kind: str) -> dict[str, Any]:
        return {"id": f"chatcmpl-{self.exchange}", "object": kind, "created": self.created_s, "model": self.model}


def completion(head: AnswerHead, text: str, usage: tuple[int, int], finish: str) -> bytes:
    """Return the whole completion. `usage` is the sum over all prompts and answers."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return _encode({**head.fields("chat.completion"), "choices": [choice], "usage": _usage(usage)})


def event(head: AnswerHead, text: str, *, begins: bool = False) -> bytes:
    """Return an event with a piece of the text. The first event of an answer also contains the role."""
    delta = {"role": "assistant", "content": text} if begins else {"content": text}
    return _event(head, [{"index": 0, "delta": delta, "finish_reason": None}])


def end(head: AnswerHead, finish: str, usage: tuple[int, int] | None) -> list[bytes]:
    """Return the last events of a stream: the finish reason, the usage if requested, and the end mark."""
    made = [_event(head, [{"index": 0, "delta": {}, "finish_reason": finish}])]
    if usage is not None:
        made.append(_event(head, [], usage=_usage(usage)))
    return [*made, DONE]


def _event(head: AnswerHead, choices: list[dict[str, Any]], **more: Any) -> bytes:
    return b"data: " + _encode({**head.fields("chat.completion.chunk"), "choices": choices, **more}) + b"\n\n"


def _usage(usage: tuple[int, int]) -> dict[str, int]:
    return {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
