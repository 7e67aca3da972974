"""Converts the pieces of an engine's stream to OpenAI's events, or joins the pieces into one body."""

import time
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from gateway.ask import Endpoint
from gateway.wire.engine.ask import EngineAsk
from gateway.wire.engine.faults import EngineFault, raised
from gateway.wire.engine.forced_call import call_in

DONE = b"data: [DONE]\n\n"
TOOL_CALLS = "tool_calls"
_encode = msgspec.json.Encoder().encode


class _Top(Struct):
    token: str
    logprob: float
    bytes: list[int] | None = None


class _Logprob(_Top):
    top_logprobs: list[_Top] = []


class _EngineLogprobs(Struct):
    content: list[_Logprob] | None = None


class _EngineFunction(Struct):
    name: str | UnsetType = UNSET
    arguments: str = ""


class _EngineToolCall(Struct):
    index: int = 0
    id: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    function: _EngineFunction = field(default_factory=_EngineFunction)


class _Delta(Struct, omit_defaults=True):
    role: str | UnsetType = UNSET
    content: str | UnsetType | None = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[_EngineToolCall] | UnsetType = UNSET


class _EngineChoice(Struct):
    index: int = 0
    delta: _Delta | UnsetType = UNSET
    text: str | UnsetType = UNSET
    logprobs: _EngineLogprobs | None = None
    finish_reason: str | None = None


class _EnginePromptDetails(Struct):
    cached_tokens: int = 0


class _EngineUsage(Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _EnginePromptDetails | None = None


class _EngineEvent(Struct):
    id: str = ""
    created: int = 0
    choices: list[_EngineChoice] = []
    usage: _EngineUsage | None = None
    error: EngineFault | None = None


_piece = msgspec.json.Decoder(_EngineEvent | None)


class _UsageTally:
    """Adds up the usage of all choices. As in OpenAI's API, the tokens of a prompt with several choices count once."""

    def __init__(self, ask: EngineAsk) -> None:
        self._ask = ask
        self._prompts: dict[int, int] = {}
        self._cached: dict[int, int] = {}
        self._completion = 0

    def add(self, piece: _EngineEvent) -> None:
        if piece.usage is None:
            return
        which = piece.choices[0].index // self._ask.choices if piece.choices else 0
        self._prompts[which] = piece.usage.prompt_tokens
        self._completion += piece.usage.completion_tokens
        if piece.usage.prompt_tokens_details is not None:
            # of several answers to a prompt, the first reads it and the others find it in the cache
            cached = piece.usage.prompt_tokens_details.cached_tokens
            self._cached[which] = min(cached, self._cached.get(which, cached))

    def usage(self) -> dict[str, Any]:
        prompt = sum(self._prompts.values())
        details = {"prompt_tokens_details": {"cached_tokens": sum(self._cached.values())}} if self._cached else {}
        return {
            "prompt_tokens": prompt,
            "completion_tokens": self._completion,
            "total_tokens": prompt + self._completion,
            **details,
        }


class _PieceReader:
    """The base of `Events` and `BodyReader`. Decodes pieces, creates ids and counts tokens."""

    def __init__(self, ask: EngineAsk, model: str) -> None:
        self.ask = ask
        self.chat = ask.endpoint is Endpoint.CHAT
        self.tally = _UsageTally(ask)
        self._offsets: dict[int, int] = {}
        self.head: dict[str, Any] = {"id": "", "object": "", "created": 0, "model": model}

    def read(self, raw: bytes) -> list[_EngineChoice]:
        """Decode a piece and return its choices, or [] if the piece holds nothing for the client.

        If the piece reports an error, raises that error.
        """
        piece: _EngineEvent | None = _piece.decode(raw)
        if piece is None:
            return []
        if piece.error is not None:
            raise raised(piece.error, self.ask.answer_tokens)
        if not self.head["id"] and piece.id:
            prefix = "chatcmpl-" if self.chat else "cmpl-"
            self.head["id"] = prefix + piece.id.removeprefix("chatcmpl-")
            self.head["created"] = piece.created or int(time.time())
        self.tally.add(piece)
        return piece.choices

    def call_id(self, index: int) -> str:
        return f"call_{self.head['id'].removeprefix('chatcmpl-')[:24]}{index}"

    def logprobs(self, choice: _EngineChoice) -> Any:
        """Return the log probabilities in this endpoint's form.

        Returns None if the client did not request log probabilities or the engine did not send any.
        """
        top = self.ask.top_logprobs
        if top is None or choice.logprobs is None or choice.logprobs.content is None:
            return None
        entries = choice.logprobs.content
        if self.chat:
            return {"content": [_entry(entry, top) for entry in entries], "refusal": None}
        start = self._offsets.get(choice.index, 0)
        legacy = _legacy(entries, top, start)
        self._offsets[choice.index] = start + sum(len(entry.token) for entry in entries)
        return legacy


class Events(_PieceReader):
    """Converts the pieces of an engine's stream to server-sent events."""

    def __init__(self, ask: EngineAsk, model: str) -> None:
        super().__init__(ask, model)
        self.head["object"] = "chat.completion.chunk" if self.chat else "text_completion"
        self._written: dict[int, list[str]] = {}
        """The JSON of the tool call so far, for each choice."""

    def event(self, raw: bytes) -> bytes:
        """Return the event for a piece, or b"" if the piece holds nothing for the client."""
        read = self.read(raw)
        if self.ask.is_call:
            read = [part for choice in read for part in self._calling(choice)]
        choices = [self._choice(choice) for choice in read]
        return self._framed(choices, None) if choices else b""

    def _calling(self, choice: _EngineChoice) -> Iterator[_EngineChoice]:
        """Hold back the text of a choice until the engine has finished the choice, then yield the text as a tool call.

        If the text is not a complete call, yield the text unchanged.
        """
        written = self._written.setdefault(choice.index, [])
        delta = choice.delta if choice.delta is not UNSET else _Delta()
        written.append(delta.content or "")
        if delta.role is not UNSET:
            yield _EngineChoice(choice.index, _Delta(delta.role, ""))
        if choice.finish_reason is None:
            return
        text = "".join(written)
        call = call_in(text, self.call_id(choice.index))
        delta_of_call = _Delta(content=text) if call is None else _Delta(tool_calls=[_streamed(call)])
        yield _EngineChoice(choice.index, delta_of_call)
        finish = choice.finish_reason if call is None else TOOL_CALLS
        yield _EngineChoice(choice.index, _Delta(), finish_reason=finish)

    def end(self) -> bytes:
        usage = self._framed([], self.tally.usage()) if self.ask.include_usage else b""
        return usage + DONE

    def _choice(self, choice: _EngineChoice) -> dict[str, Any]:
        fields: dict[str, Any] = {"index": choice.index}
        if self.chat:
            delta = choice.delta if choice.delta is not UNSET else _Delta()
            fields["delta"] = _Delta(delta.role, "", tool_calls=delta.tool_calls) if delta.content is None else delta
        else:
            fields["text"] = choice.text if choice.text is not UNSET else ""
        return fields | {"logprobs": self.logprobs(choice), "finish_reason": choice.finish_reason}

    def _framed(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None) -> bytes:
        extra = {"usage": usage} if self.ask.include_usage else {}
        return b"data: " + _encode({**self.head, "choices": choices, **extra}) + b"\n\n"


class _Whole(Struct):
    text: list[str] = []
    reasoning: list[str] = []
    calls: dict[int, _EngineToolCall] = {}
    logprobs: list[_Logprob] = []
    finish: str | None = None


class BodyReader(_PieceReader):
    """Joins the pieces into one body."""

    def __init__(self, ask: EngineAsk, model: str) -> None:
        super().__init__(ask, model)
        self.head["object"] = "chat.completion" if self.chat else "text_completion"
        self._wholes = {index: _Whole() for index in range(ask.choices * ask.prompts)}

    def add(self, raw: bytes) -> None:
        for choice in self.read(raw):
            whole = self._wholes.setdefault(choice.index, _Whole())
            whole.finish = choice.finish_reason or whole.finish
            if choice.text is not UNSET:
                whole.text.append(choice.text)
            if choice.delta is not UNSET:
                _grow(whole, choice.delta)
            if choice.logprobs is not None:
                whole.logprobs.extend(choice.logprobs.content or [])

    def whole(self) -> bytes:
        choices = [self._choice(index, whole) for index, whole in sorted(self._wholes.items())]
        return _encode({**self.head, "choices": choices, "usage": self.tally.usage()})

    def _choice(self, index: int, whole: _Whole) -> dict[str, Any]:
        fields: dict[str, Any] = {"index": index}
        text = "".join(whole.text)
        if self.ask.is_call and (call := call_in(text, self.call_id(index))) is not None:
            text, whole.calls[0], whole.finish = "", _streamed(call), TOOL_CALLS
        if self.chat:
            fields["message"] = _message(whole, text)
        else:
            fields["text"] = text
        entries = _EngineChoice(index, logprobs=_EngineLogprobs(whole.logprobs))
        return fields | {"logprobs": self.logprobs(entries), "finish_reason": whole.finish}


def _message(whole: _Whole, text: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text or (None if whole.calls else ""), "refusal": None}
    if whole.reasoning:
        message["reasoning_content"] = "".join(whole.reasoning)
    if whole.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": call.function} for _, call in sorted(whole.calls.items())
        ]
    return message


def _grow(whole: _Whole, delta: _Delta) -> None:
    if isinstance(delta.content, str):
        whole.text.append(delta.content)
    if delta.reasoning_content is not UNSET:
        whole.reasoning.append(delta.reasoning_content)
    for call in delta.tool_calls or []:
        known = whole.calls.setdefault(call.index, _EngineToolCall(call.index))
        known.id = call.id if call.id is not UNSET else known.id
        known.function = _EngineFunction(
            call.function.name if call.function.name is not UNSET else known.function.name,
            known.function.arguments + call.function.arguments,
        )


def _streamed(call: dict[str, Any]) -> _EngineToolCall:
    return msgspec.convert(call, _EngineToolCall)


def _entry(entry: _Logprob, top: int) -> _Logprob:
    return _Logprob(entry.token, entry.logprob, entry.bytes, entry.top_logprobs[:top])


def _legacy(entries: list[_Logprob], top: int, start: int) -> dict[str, Any]:
    """Return log probabilities in the form of `/v1/completions`, as parallel lists. Offsets count characters from the
    start of the choice's text."""
    offsets = []
    for entry in entries:
        offsets.append(start)
        start += len(entry.token)
    return {
        "tokens": [entry.token for entry in entries],
        "token_logprobs": [entry.logprob for entry in entries],
        "top_logprobs": [{token.token: token.logprob for token in entry.top_logprobs[:top]} for entry in entries]
        if top
        else None,
        "text_offset": offsets,
    }
