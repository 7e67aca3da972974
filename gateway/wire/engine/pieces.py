"""Structs for the requests to the gateway's own engines and for the pieces of the engines' answers."""

from typing import Any

import msgspec
from msgspec import Struct, field

from gateway.ask import Endpoint
from gateway.errors import BadRequest
from gateway.wire.json_fields import explained

_encode = msgspec.json.Encoder().encode


class SamplingKnobs(Struct):
    """Sampling settings, with OpenAI's defaults."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    seed: int | None = None
    logit_bias: dict[int, float] = {}


class EngineMessage(Struct):
    role: str
    content: str


class EngineRequest(Struct):
    """A request in the engine's form. A chat has `messages`. A completion has `prompts`, which are texts or token
    numbers."""

    knobs: SamplingKnobs
    max_tokens: int
    choices: int = 1
    stop: tuple[str, ...] = ()
    top_logprobs: int | None = None
    messages: tuple[EngineMessage, ...] = ()
    prompts: tuple[str | list[int], ...] = ()


class _EngineContentPart(Struct):
    type: str = "text"
    text: str | None = None


class _GivenPart(Struct):
    role: str
    content: str | list[_EngineContentPart] | None = None
    tool_calls: Any = None


class _AnswerFormat(Struct):
    type: str = "text"


class _EngineRequestBody(Struct):
    max_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    logit_bias: dict[int, float] | None = None
    stop: str | list[str] | None = None
    n: int = 1
    messages: list[_GivenPart] = []
    prompt: str | list[str | int | list[int]] | None = None
    logprobs: bool | int | None = None
    top_logprobs: int | None = None
    tools: list[Any] | None = None
    response_format: _AnswerFormat | None = None


_body = msgspec.json.Decoder(_EngineRequestBody, strict=False)


def read_request(body: bytes) -> EngineRequest:
    """Decode a body built by `engine.ask`. Raises `BadRequest` if the request needs a grammar or images."""
    try:
        given = _body.decode(body)
    except msgspec.ValidationError as error:
        raise explained(error) from None
    if given.tools:
        raise BadRequest("'tools' is not supported by this model's engine.", param="tools")
    if given.response_format and given.response_format.type != "text":
        raise BadRequest("'response_format' is not supported by this model's engine.", param="response_format")
    return EngineRequest(
        _knobs(given),
        given.max_tokens,
        given.n,
        tuple([given.stop] if isinstance(given.stop, str) else given.stop or ()),
        _top(given),
        tuple(_message(message) for message in given.messages),
        _prompts(given.prompt),
    )


def _knobs(given: _EngineRequestBody) -> SamplingKnobs:
    values = {name: getattr(given, name) for name in SamplingKnobs.__struct_fields__}
    return SamplingKnobs(**{name: value for name, value in values.items() if value is not None})


def _top(given: _EngineRequestBody) -> int | None:
    if given.messages:
        return given.top_logprobs or 0 if given.logprobs else None
    return None if given.logprobs is None else int(given.logprobs)


def _message(given: _GivenPart) -> EngineMessage:
    parts = given.content
    if parts is None or isinstance(parts, str):
        return EngineMessage(given.role, parts or "")
    for part in parts:
        if part.type != "text" or part.text is None:
            raise BadRequest(f"This model does not understand content of type {part.type!r}.", param="messages")
    return EngineMessage(given.role, "".join(part.text or "" for part in parts))


def _prompts(given: str | list[str | int | list[int]] | None) -> tuple[str | list[int], ...]:
    if given is None:
        return ()
    if isinstance(given, str):
        return (given,)
    numbers = [prompt for prompt in given if isinstance(prompt, int)]
    if numbers:
        return (numbers,)
    return tuple(prompt for prompt in given if not isinstance(prompt, int))


class Likely(Struct):
    """A token with its log probability."""

    token: str
    logprob: float
    bytes: list[int]


class ChosenToken(Likely):
    """The chosen token and the most likely tokens at its position."""

    top_logprobs: list[Likely] = []


class TokenUsage(Struct):
    prompt_tokens: int
    completion_tokens: int


class EnginePiece(Struct):
    """The next piece of one choice."""

    index: int
    text: str = ""
    logprobs: list[ChosenToken] = field(default_factory=list)
    finish: str | None = None
    usage: TokenUsage | None = None
    first: bool = False


def encoded(piece: EnginePiece, endpoint: Endpoint, name: str, created: int) -> bytes:
    choice: dict[str, Any] = {"index": piece.index, "finish_reason": piece.finish}
    if endpoint is Endpoint.CHAT:
        role = {"role": "assistant"} if piece.first else {}
        choice["delta"] = {**role, "content": piece.text} if piece.text or piece.first else {}
    else:
        choice["text"] = piece.text
    if piece.logprobs:
        choice["logprobs"] = {"content": piece.logprobs}
    return _encode({"id": name, "created": created, "choices": [choice], "usage": piece.usage})
