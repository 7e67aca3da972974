"""Translates an answer of `/v1/messages` to a chat completion, as a whole body or as a stream, piece by piece."""

from collections.abc import Mapping
from typing import Any

from gateway.errors import BackendFailed, RequestError
from gateway.wire.chat.chunks import ChunkWriter, CompletionHead, arguments_of, usage_of, whole_completion
from gateway.wire.chat.completion import loose_json, text_of, tokens_of
from gateway.wire.chat.faults import raised, untold
from gateway.wire.loose_objects import object_of
from gateway.wire.messages.error_form import fault_in_event
from gateway.wire.messages.losses import Losses
from gateway.wire.messages.read import FINISH, READ, START, STOP, WRITTEN, prompt_tokens
from gateway.wire.sse import data_in

THINKING = ("thinking", "redacted_thinking")
KNOWN = ("text", "tool_use", *THINKING)


def whole(body: bytes, head: CompletionHead, losses: Losses) -> bytes:
    """Translate a whole message to a chat completion. Raises `BackendFailed` if the body is not a message."""
    message = loose_json(body)
    if not isinstance(message, dict) or message.get("type") != "message":
        raise BackendFailed("The backend's answer is not a message of Anthropic's API.", code="not_an_api")
    content = message.get("content")
    blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    for block in blocks:
        _note_losses(block, losses)
    texts = [text_of(block.get("text")) for block in blocks if block.get("type") == "text"]
    thinking = [block for block in blocks if block.get("type") in THINKING]
    calls = [_call(block) for block in blocks if block.get("type") == "tool_use"]
    answer: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts or not calls else None}
    answer["refusal"] = None
    if thinking:
        answer["reasoning_content"] = "\n\n".join(text_of(block.get("thinking")) for block in thinking)
        answer["thinking_blocks"] = thinking
    if calls:
        answer["tool_calls"] = calls
    finish = _finish(message)
    choice = {"index": 0, "message": answer, "logprobs": None, "finish_reason": finish}
    return whole_completion(head, [choice], _usage(message.get("usage")))


class CompletionTranslator:
    """Translates the stream of a message to the stream of a chat completion.

    `feed` translates a piece, which must hold whole events. If the stream breaks off, `failure` has the reason. The
    events do not report this reason, so the caller must raise `failure`.
    """

    def __init__(self, head: CompletionHead, losses: Losses) -> None:
        self.failure: RequestError | None = None
        self.over = False
        self.unreadable = 0
        """The number of events that were skipped because they were not JSON objects."""
        self._writer = ChunkWriter(head)
        self._losses = losses
        self._usage: dict[str, Any] = {}
        self._calls = -1
        self._arguments = ""
        """The arguments at the start of a call's block. They are sent at its end if no delta came."""
        self._has_finish = False
        self._thinking: dict[str, Any] | None = None

    def feed(self, piece: bytes) -> bytes:
        frames = bytearray()
        for data in data_in(piece):
            if self.over:
                break
            fields = loose_json(data)
            if isinstance(fields, dict):
                frames += self._event(fields, data)
            else:
                self.unreadable += 1
        return bytes(frames)

    def end(self) -> bytes:
        """Translate the end of the backend's stream. If the stream had no end mark, `failure` gets the reason."""
        if self.over:
            return b""
        return self.fail(BackendFailed("The backend ended its stream without its end mark.", code="stream_cut"))

    def fail(self, error: RequestError) -> bytes:
        """Stop translating, because the backend's stream broke off."""
        self.over, self.failure = True, untold(error)
        return b""

    def _event(self, fields: dict[str, Any], data: bytes) -> bytes:
        kind = fields.get("type")
        if kind == START:
            self._usage.update(object_of(object_of(fields.get("message")).get("usage")))
            return self._writer.begin()
        if kind == "content_block_start":
            return self._begun(object_of(fields.get("content_block")))
        if kind == "content_block_delta":
            return self._grown(object_of(fields.get("delta")))
        if kind == "content_block_stop":
            return self._closed()
        if kind == "message_delta":
            usage = object_of(fields.get("usage"))
            self._usage.update({name: count for name, count in usage.items() if count is not None})
            return self._finished(object_of(fields.get("delta")))
        if kind == STOP:
            return self._ended()
        if kind == "error":
            self.fail(raised(fault_in_event(data)))
        return b""

    def _begun(self, block: dict[str, Any]) -> bytes:
        kind = block.get("type")
        _note_losses(block, self._losses)
        if kind == "tool_use":
            self._calls += 1
            call = {**_call(block), "index": self._calls}
            self._arguments = call["function"]["arguments"]
            call["function"] = {**call["function"], "arguments": ""}
            return self._writer.chunk({"tool_calls": [call]})
        if kind in THINKING:
            self._thinking = dict(block)
        text = text_of(block.get("text")) if kind == "text" else ""
        return self._writer.chunk({"content": text}) if text else b""

    def _grown(self, delta: dict[str, Any]) -> bytes:
        kind = delta.get("type")
        if kind == "text_delta":
            return self._writer.chunk({"content": text_of(delta.get("text"))})
        if kind == "input_json_delta":
            return self._argued(text_of(delta.get("partial_json")))
        if kind == "thinking_delta" and self._thinking is not None:
            text = text_of(delta.get("thinking"))
            self._thinking["thinking"] = text_of(self._thinking.get("thinking")) + text
            return self._writer.chunk({"reasoning_content": text}) if text else b""
        if kind == "signature_delta" and self._thinking is not None:
            self._thinking["signature"] = text_of(delta.get("signature"))
        elif kind == "citations_delta":
            self._losses.add("citations")
        return b""

    def _argued(self, part: str) -> bytes:
        if not part:
            return b""
        self._arguments = ""
        return self._writer.chunk({"tool_calls": [{"index": self._calls, "function": {"arguments": part}}]})

    def _closed(self) -> bytes:
        """At the end of a thinking block, send the whole block. A later request must contain the block with its
        signature. At the end of a call that had no delta, send its arguments."""
        if self._arguments:
            return self._argued(self._arguments)
        thinking, self._thinking = self._thinking, None
        return self._writer.chunk({"thinking_blocks": [thinking]}) if thinking else b""

    def _finished(self, delta: dict[str, Any]) -> bytes:
        if not delta.get("stop_reason"):
            return b""  # this event only reports the usage so far
        self._has_finish = True
        return self._writer.chunk({}, _finish(delta))

    def _ended(self) -> bytes:
        self.over = True
        finish = b"" if self._has_finish else self._writer.chunk({}, _finish({}))
        return finish + self._writer.done(_usage(self._usage))


def _note_losses(block: Mapping[str, Any], losses: Losses) -> None:
    if text_of(block.get("type")) not in KNOWN:
        losses.add(f"a block of type {text_of(block.get('type'))[:40]!r}")
    if block.get("citations"):
        losses.add("citations")


def _call(block: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": text_of(block.get("name")), "arguments": arguments_of(block.get("input"))}
    return {"id": text_of(block.get("id")), "type": "function", "function": function}


def _finish(fields: Mapping[str, Any]) -> str:
    return FINISH.get(text_of(fields.get("stop_reason")), "stop")


def _usage(value: Any) -> dict[str, Any]:
    usage = object_of(value)
    prompt, completion = prompt_tokens(usage) or 0, tokens_of(usage.get("output_tokens")) or 0
    cached, written = tokens_of(usage.get(READ)) or 0, tokens_of(usage.get(WRITTEN)) or 0
    details = object_of(usage.get("output_tokens_details"))
    return usage_of(prompt, completion, cached, written, tokens_of(details.get("thinking_tokens")))
