"""Translates an answer of the Gemini API to a chat completion, as a whole body or as a stream, piece by piece."""

from typing import Any

from gateway.errors import BackendFailed
from gateway.wire.chat.chunks import ChunkWriter, CompletionHead, arguments_of, fault_chunk, usage_of, whole_completion
from gateway.wire.chat.completion import CompletionFault, loose_json, text_of, tokens_of
from gateway.wire.chat.faults import raised
from gateway.wire.gemini.errors import fault_of
from gateway.wire.gemini.signatures import OF_GEMINI, signed_id
from gateway.wire.loose_objects import object_of, objects_of
from gateway.wire.messages.losses import Losses
from gateway.wire.sse import EventCutter, data_in

FINISH = {
    "STOP": "stop",
    "FINISH_REASON_UNSPECIFIED": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
"""The finish reason of chat for each of Gemini's. Any other reason becomes `stop`, and a note names it."""
FAILED = (
    "MALFORMED_FUNCTION_CALL",
    "UNEXPECTED_TOOL_CALL",
    "TOO_MANY_TOOL_CALLS",
    "MISSING_THOUGHT_SIGNATURE",
    "MALFORMED_RESPONSE",
)
"""Finish reasons that mean that there is no usable answer."""
LOST_METADATA = ("groundingMetadata", "citationMetadata", "urlContextMetadata")


class _Candidate:
    """What has arrived of one answer."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.calls = 0
        self.finish = ""
        self.signature = ""
        """The signature of the last text, which is sent at the end."""


class PartReader:
    """Reads the parts of candidates, for whole answers and for streams."""

    def __init__(self, head: CompletionHead, losses: Losses) -> None:
        self._head = head
        self._losses = losses
        self._calls = 0

    def delta(self, candidate: _Candidate, part: dict[str, Any]) -> dict[str, Any]:
        """Return the fields of a chat message that a part stands for."""
        signature = text_of(part.get("thoughtSignature"))
        call = part.get("functionCall")
        if isinstance(call, dict):
            return {"tool_calls": [self._call(candidate, call, signature)]}
        if signature:
            candidate.signature = signature
        text = text_of(part.get("text"))
        if text:
            return {"reasoning_content" if part.get("thought") is True else "content": text}
        for kind in part:
            if kind not in ("text", "thought", "thoughtSignature"):
                self._losses.add(f"a part {kind[:40]!r}")
        return {}

    def closing(self, candidate: _Candidate, reason: str, message: str) -> dict[str, Any]:
        """Return the fields that end a message: why it was refused, and the signature of its text."""
        delta: dict[str, Any] = {}
        if FINISH.get(reason) == "content_filter":
            delta["refusal"] = message or f"The answer was stopped: {reason}."
        if candidate.signature:
            signed = {"type": "thinking", "thinking": "", "signature": OF_GEMINI + candidate.signature}
            delta["thinking_blocks"] = [signed]
        return delta

    def finish(self, candidate: _Candidate, reason: str, fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return the finish reason of chat, and the fields of the choice that keep Gemini's own.

        Raises the failure that a reason stands for.
        """
        if reason in FAILED:
            message = text_of(fields.get("finishMessage"))
            raise raised(CompletionFault(f"{reason}: {message}" if message else reason))
        for name in LOST_METADATA:
            if fields.get(name):
                self._losses.add(name)
        if reason not in FINISH:
            self._losses.add(f"the finish reason {reason[:40]!r}")
        finish = FINISH.get(reason, "stop")
        own = {} if reason == "STOP" else {"native_finish_reason": reason}
        return "tool_calls" if finish == "stop" and candidate.calls else finish, own

    def _call(self, candidate: _Candidate, call: dict[str, Any], signature: str) -> dict[str, Any]:
        id = text_of(call.get("id")) or self._head.call_id(self._calls)
        function = {"name": text_of(call.get("name")), "arguments": arguments_of(call.get("args"))}
        index = candidate.calls
        self._calls += 1
        candidate.calls += 1
        return {"index": index, "id": signed_id(id, signature), "type": "function", "function": function}


def whole(body: bytes, head: CompletionHead, losses: Losses) -> bytes:
    """Translate a whole answer. Raises `BackendFailed` if the body is not an answer of the API."""
    answer = loose_json(body)
    if not isinstance(answer, dict) or not ("candidates" in answer or "promptFeedback" in answer):
        raise BackendFailed("The backend's answer is not one of Gemini's API.", code="not_an_api")
    if (fault := fault_of(answer)) is not None:
        raise raised(fault)
    reader = PartReader(head, losses)
    choices = [_choice(fields, place, reader) for place, fields in enumerate(objects_of(answer.get("candidates")))]
    if not choices:
        message = {"role": "assistant", "content": None, "refusal": _block_message(answer)}
        choices = [{"index": 0, "message": message, "logprobs": None, "finish_reason": "content_filter"}]
        choices[0]["native_finish_reason"] = _block_reason(answer)
    return whole_completion(head, choices, usage(answer.get("usageMetadata")))


def _choice(fields: dict[str, Any], place: int, reader: PartReader) -> dict[str, Any]:
    candidate = _Candidate(place)
    texts: dict[str, list[str]] = {"content": [], "reasoning_content": []}
    calls: list[dict[str, Any]] = []
    for part in objects_of(object_of(fields.get("content")).get("parts")):
        for name, value in reader.delta(candidate, part).items():
            (calls if name == "tool_calls" else texts[name]).extend(value if name == "tool_calls" else [value])
    reason = text_of(fields.get("finishReason")) or "STOP"
    finish, own = reader.finish(candidate, reason, fields)
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts["content"]) or (None if calls else "")}
    message["refusal"] = None
    if texts["reasoning_content"]:
        message["reasoning_content"] = "".join(texts["reasoning_content"])
    if calls:
        message["tool_calls"] = [{name: call[name] for name in call if name != "index"} for call in calls]
    message |= reader.closing(candidate, reason, text_of(fields.get("finishMessage")))
    logprobs = logprobs_of(fields)
    return {"index": place, "message": message, "logprobs": logprobs, "finish_reason": finish, **own}


class GeminiStream:
    """Translates the stream of an answer. `feed` takes pieces that are cut anywhere.

    `over` is true after the end mark of chat, which `end` writes, since Gemini's streams have none.
    """

    def __init__(self, head: CompletionHead, losses: Losses) -> None:
        self.over = False
        self.unreadable = 0
        """The number of events that were skipped because they were not JSON objects."""
        self._cutter = EventCutter()
        self._writer = ChunkWriter(head)
        self._reader = PartReader(head, losses)
        self._candidates: dict[int, _Candidate] = {}
        self._usage: Any = None
        self._blocked = False

    def feed(self, piece: bytes) -> bytes:
        """Return the chunks for the events that are complete now."""
        frames = bytearray()
        for data in data_in(self._cutter.feed(piece)):
            if self.over:
                break
            frames += self._event(loose_json(data))
        return bytes(frames)

    def end(self) -> bytes:
        """Return the last chunks, or only what has arrived if the stream ended too early."""
        rest = self._cutter.rest()
        frames = self.feed(rest + b"\n\n") if rest and not self.over else b""
        if self.over or not self._is_finished:
            return frames
        self.over = True
        return frames + self._writer.done(usage(self._usage))

    @property
    def _is_finished(self) -> bool:
        finished = [candidate.finish for candidate in self._candidates.values()]
        return self._blocked or (bool(finished) and all(finished))

    def _event(self, answer: Any) -> bytes:
        if not isinstance(answer, dict):
            self.unreadable += 1
            return b""
        if (fault := fault_of(answer)) is not None:
            self.over = True
            status = fault.code if isinstance(fault.code, int) else BackendFailed.status
            return fault_chunk(fault.message or "", fault.type or "", status)
        if answer.get("usageMetadata"):
            self._usage = answer["usageMetadata"]
        frames = b""
        for place, fields in enumerate(objects_of(answer.get("candidates"))):
            frames += self._candidate(fields, place)
        if not self._candidates and _block_reason(answer):
            self._blocked = True
            frames += self._writer.begin() + self._writer.chunk({"refusal": _block_message(answer)})
            frames += self._writer.chunk({}, "content_filter", native_finish_reason=_block_reason(answer))
        return frames

    def _candidate(self, fields: dict[str, Any], place: int) -> bytes:
        given = fields.get("index")
        index = given if isinstance(given, int) and not isinstance(given, bool) and given >= 0 else place
        candidate = self._candidates.get(index)
        frames = b""
        if candidate is None:
            candidate = self._candidates[index] = _Candidate(index)
            frames = self._writer.begin(index)
        logprobs = logprobs_of(fields)
        for part in objects_of(object_of(fields.get("content")).get("parts")):
            if delta := self._reader.delta(candidate, part):
                frames += self._writer.chunk(delta, index=index, logprobs=logprobs)
                logprobs = None
        reason = text_of(fields.get("finishReason"))
        if not reason or candidate.finish:
            return frames
        try:
            candidate.finish, own = self._reader.finish(candidate, reason, fields)
        except BackendFailed as error:
            self.over = True
            return frames + fault_chunk(error.message, reason, error.status)
        closing = self._reader.closing(candidate, reason, text_of(fields.get("finishMessage")))
        return frames + self._writer.chunk(closing, candidate.finish, index, logprobs, **own)


def usage(value: Any) -> dict[str, Any]:
    """Translate `usageMetadata`. Gemini counts the reasoning apart from the answer, and chat within it."""
    counts = object_of(value)
    read = {name: tokens_of(counts.get(name)) for name in ("promptTokenCount", "toolUsePromptTokenCount")}
    prompt = sum(count or 0 for count in read.values())
    thoughts = tokens_of(counts.get("thoughtsTokenCount"))
    completion = (tokens_of(counts.get("candidatesTokenCount")) or 0) + (thoughts or 0)
    return usage_of(prompt, completion, tokens_of(counts.get("cachedContentTokenCount")) or 0, 0, thoughts)


def logprobs_of(fields: dict[str, Any]) -> dict[str, Any] | None:
    """Translate the log probabilities of a candidate, or return None if it has none."""
    result = object_of(fields.get("logprobsResult"))
    chosen = objects_of(result.get("chosenCandidates"))
    if not chosen:
        return None
    top = [objects_of(each.get("candidates")) for each in objects_of(result.get("topCandidates"))]
    content = []
    for place, token in enumerate(chosen):
        others = [_token(each) for each in top[place]] if place < len(top) else []
        content.append({**_token(token), "top_logprobs": others})
    return {"content": content, "refusal": None}


def _token(fields: dict[str, Any]) -> dict[str, Any]:
    text, value = text_of(fields.get("token")), fields.get("logProbability")
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return {"token": text, "logprob": value if known else -9999.0, "bytes": list(text.encode("utf-8", "replace"))}


def _block_reason(answer: dict[str, Any]) -> str:
    return text_of(object_of(answer.get("promptFeedback")).get("blockReason"))


def _block_message(answer: dict[str, Any]) -> str:
    message = text_of(object_of(answer.get("promptFeedback")).get("blockReasonMessage"))
    return message or f"The prompt was blocked: {_block_reason(answer) or 'no reason was given'}."
