"""Translates an answer of the Converse API to a chat completion, as a whole body or as a stream, piece by piece."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from gateway.errors import BackendFailed
from gateway.wire.chat.chunks import ChunkWriter, CompletionHead, arguments_of, fault_chunk, usage_of, whole_completion
from gateway.wire.chat.completion import CompletionFault, loose_json, text_of, tokens_of
from gateway.wire.chat.faults import raised
from gateway.wire.converse.errors import stream_fault
from gateway.wire.loose_objects import object_of, objects_of
from gateway.wire.messages.losses import Losses

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
"""The finish reason of chat for each stop reason. Any other reason becomes `stop`, and a note names it."""
FAILED = ("malformed_model_output", "malformed_tool_use")
"""Stop reasons that mean that there is no usable answer."""
SAME = ("end_turn", "tool_use", "max_tokens")
"""Stop reasons that the finish reason of chat names in full."""


class StreamMessage(NamedTuple):
    """One message of the binary stream. `exception` is the name of an exception, and `event` that of an event."""

    event: str
    exception: str
    payload: bytes


Decode = Callable[[bytes], Iterable[StreamMessage]]
"""Takes the next piece of a binary stream and returns the messages that are complete now. Raises `ValueError`."""


def whole(body: bytes, head: CompletionHead, losses: Losses) -> bytes:
    """Translate a whole answer. Raises `BackendFailed` if the body is not an answer of the API."""
    answer = loose_json(body)
    if not isinstance(answer, dict) or not isinstance(answer.get("output"), dict):
        raise BackendFailed("The backend's answer is not one of the Converse API.", code="not_an_api")
    reason = text_of(answer.get("stopReason"))
    finish, own = finish_of(reason, losses)
    message: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
    texts, thoughts, signed, calls = [], [], [], []
    for block in objects_of(object_of(answer["output"].get("message")).get("content")):
        if isinstance(block.get("toolUse"), dict):
            calls.append(_call(block["toolUse"], arguments_of(block["toolUse"].get("input"))))
        elif isinstance(block.get("reasoningContent"), dict):
            thinking = _reasoning(block["reasoningContent"])
            signed.append(thinking)
            thoughts.append(text_of(thinking.get("thinking")))
        else:
            texts.append(_text(block, losses))
    message["content"] = "".join(texts) if texts or not calls else None
    if any(thoughts):
        message["reasoning_content"] = "\n\n".join(filter(None, thoughts))
    if signed:
        message["thinking_blocks"] = signed
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish, **own}
    return whole_completion(head, [choice], usage(answer.get("usage")))


def finish_of(reason: str, losses: Losses) -> tuple[str, dict[str, Any]]:
    """Return the finish reason of chat, and the field of the choice that keeps Bedrock's own.

    Raises the failure that a reason stands for.
    """
    if reason in FAILED:
        raise raised(CompletionFault(reason))
    if reason not in FINISH:
        losses.add(f"the stop reason {reason[:40]!r}")
    return FINISH.get(reason, "stop"), {} if reason in SAME else {"native_finish_reason": reason}


class ConverseStream:
    """Translates the stream of an answer. `feed` takes pieces that are cut anywhere. `over` is true after the end mark
    of chat, or after an error.
    """

    def __init__(self, head: CompletionHead, losses: Losses, decode: Decode) -> None:
        self.over = False
        self.unreadable = 0
        """The number of events that were skipped because they were not JSON objects."""
        self._decode = decode
        self._losses = losses
        self._writer = ChunkWriter(head)
        self._begun = False
        self._finished = False
        self._calls = -1
        self._lacks_arguments = False
        self._thinking: dict[str, Any] | None = None
        self._usage: Any = None

    def feed(self, piece: bytes) -> bytes:
        """Return the chunks for the messages that are complete now."""
        frames = bytearray()
        try:
            for message in self._decode(piece):
                if not self.over:
                    frames += self._message(message)
        except ValueError as error:
            self.over = True
            frames += fault_chunk(f"The backend's stream cannot be read: {error}", "ModelStreamErrorException", 502)
        return bytes(frames)

    def end(self) -> bytes:
        """Return the end mark if it is missing only because the stream has no usage, and b"" in every other case."""
        return b"" if self.over or not self._finished else self._done()

    def _message(self, message: StreamMessage) -> bytes:
        if message.exception:
            self.over = True
            return stream_fault(message.exception, message.payload)
        fields = loose_json(message.payload)
        if not isinstance(fields, dict):
            self.unreadable += 1
            return b""
        begin = b"" if self._begun else self._writer.begin()
        self._begun = True
        return begin + self._event(message.event, fields)

    def _event(self, kind: str, fields: dict[str, Any]) -> bytes:
        if kind == "contentBlockDelta":
            return self._grown(object_of(fields.get("delta")))
        if kind == "contentBlockStart":
            return self._opened(object_of(fields.get("start")))
        if kind == "contentBlockStop":
            return self._closed()
        if kind == "messageStop":
            return self._stopped(text_of(fields.get("stopReason")))
        if kind == "metadata":
            self._usage = fields.get("usage")
            return self._done() if self._finished else b""
        return b""

    def _opened(self, start: dict[str, Any]) -> bytes:
        call = start.get("toolUse")
        if isinstance(call, dict):
            self._calls += 1
            self._lacks_arguments = True
            return self._writer.chunk({"tool_calls": [{"index": self._calls, **_call(call, "")}]})
        for kind in start:
            self._losses.add(f"a block {kind[:40]!r}")
        return b""

    def _grown(self, delta: dict[str, Any]) -> bytes:
        if isinstance(delta.get("toolUse"), dict):
            return self._argued(text_of(delta["toolUse"].get("input")))
        if isinstance(delta.get("reasoningContent"), dict):
            return self._thought(delta["reasoningContent"])
        text = _text(delta, self._losses)
        return self._writer.chunk({"content": text}) if text else b""

    def _argued(self, part: str) -> bytes:
        if not part:
            return b""
        self._lacks_arguments = False
        return self._writer.chunk({"tool_calls": [{"index": max(0, self._calls), "function": {"arguments": part}}]})

    def _closed(self) -> bytes:
        """At the end of a block, send its signed thinking, or the arguments of a call that has none."""
        thinking, self._thinking = self._thinking, None
        if self._lacks_arguments:
            return self._argued("{}")
        return self._writer.chunk({"thinking_blocks": [thinking]}) if thinking else b""

    def _thought(self, delta: dict[str, Any]) -> bytes:
        if data := text_of(delta.get("redactedContent")):
            self._thinking = {"type": "redacted_thinking", "data": data}
            return b""
        if self._thinking is None or "thinking" not in self._thinking:
            self._thinking = {"type": "thinking", "thinking": "", "signature": ""}
        text = text_of(delta.get("text"))
        self._thinking["thinking"] += text
        self._thinking["signature"] += text_of(delta.get("signature"))
        return self._writer.chunk({"reasoning_content": text}) if text else b""

    def _stopped(self, reason: str) -> bytes:
        try:
            finish, own = finish_of(reason, self._losses)
        except BackendFailed as error:
            self.over = True
            return fault_chunk(error.message, reason, error.status)
        self._finished = True
        return self._writer.chunk({}, finish, **own)

    def _done(self) -> bytes:
        self.over = True
        return self._writer.done(usage(self._usage))


def usage(value: Any) -> dict[str, Any]:
    """Translate the token counts. Bedrock counts the tokens read from a cache and written to a cache apart."""
    counts = object_of(value)
    read, written = tokens_of(counts.get("cacheReadInputTokens")) or 0, tokens_of(counts.get("cacheWriteInputTokens"))
    prompt = (tokens_of(counts.get("inputTokens")) or 0) + read + (written or 0)
    return usage_of(prompt, tokens_of(counts.get("outputTokens")) or 0, read, written or 0, None)


def _call(call: dict[str, Any], arguments: str) -> dict[str, Any]:
    function = {"name": text_of(call.get("name")), "arguments": arguments}
    return {"id": text_of(call.get("toolUseId")), "type": "function", "function": function}


def _reasoning(block: dict[str, Any]) -> dict[str, Any]:
    if data := text_of(block.get("redactedContent")):
        return {"type": "redacted_thinking", "data": data}
    text = object_of(block.get("reasoningText"))
    return {"type": "thinking", "thinking": text_of(text.get("text")), "signature": text_of(text.get("signature"))}


def _text(block: dict[str, Any], losses: Losses) -> str:
    """Return the text of a block or of a delta. Blocks of other kinds are lost."""
    if isinstance(block.get("citationsContent"), dict):
        losses.add("citations")
        return "".join(text_of(each.get("text")) for each in objects_of(block["citationsContent"].get("content")))
    for kind in block:
        if kind == "citation":
            losses.add("citations")
        elif kind != "text":
            losses.add(f"a block {kind[:40]!r}")
    return text_of(block.get("text"))
