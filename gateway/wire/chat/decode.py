"""Decodes OpenAI's request bodies to `Ask`. Only the fields that the gateway uses are parsed. The raw bytes are
kept."""

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeGuard

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from gateway.ask import Ask, Controls, Endpoint, Mode, Nbce, Turn
from gateway.errors import BadRequest
from gateway.wire.json_fields import NULL, decoded, missing, not_json, parsed, whole
from gateway.wire.mcp.tools import mcp_of
from gateway.wire.prompts import prompt_of
from gateway.wire.stores.filters import filter_of

Role = Literal["system", "developer", "user", "assistant", "tool", "function"]


class _RequestMessage(Struct):
    role: Role
    content: str | list[Raw] | None = None
    tool_calls: Raw | UnsetType = UNSET
    function_call: Raw | UnsetType = UNSET


class _ContentPart(Struct):
    type: str
    text: str | UnsetType = UNSET


class ForewordObject(Struct, forbid_unknown_fields=True):
    """The object `foreword` in a request body, which holds the gateway's own options."""

    mode: Mode | None = None
    template: str = ""
    collections: list[str] = []
    collections_required: bool = False
    filters: dict[str, Any] | None = None
    top_k: Annotated[int, Meta(ge=0, le=100)] = 0
    budget_tokens: Annotated[int, Meta(ge=0)] = 0
    conversation: str = ""
    contexts: list[str] = []
    strategy: str = ""
    pooling: Literal["", "min_entropy", "mean", "expert"] = ""
    beta: Annotated[float, Meta(ge=0, le=100)] = 0.25
    eta: Annotated[float, Meta(ge=0, le=100)] = 0.1
    gamma: Annotated[float, Meta(ge=0, le=100)] = 2.5
    alpha: Annotated[float, Meta(ge=0, le=100)] = 0.25
    scores: list[Annotated[float, Meta(ge=0, le=1)]] = []
    tags: list[str] = []
    closing_event: bool | None = None


class ChatBody(Struct):
    """The fields of a chat request that the gateway uses. All other fields pass through unread."""

    messages: Annotated[list[_RequestMessage], Meta(min_length=1)] | UnsetType = UNSET
    """This field is required, unless `prompt` names a template."""
    model: str = ""
    stream: bool | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: Raw | UnsetType = UNSET
    temperature: Raw | UnsetType = UNSET
    tools: Raw | UnsetType = UNSET
    functions: Raw | UnsetType = UNSET
    tool_choice: Raw | UnsetType = UNSET
    function_call: Raw | UnsetType = UNSET
    response_format: Raw | UnsetType = UNSET
    prompt: Raw | UnsetType = UNSET
    user: str | None = None
    foreword: ForewordObject | UnsetType | None = UNSET


class CompletionBody(Struct):
    """The fields of a legacy completion request that the gateway uses. All other fields pass through unread."""

    prompt: Raw
    model: str = ""
    stream: bool | None = None
    max_tokens: int | None = None
    user: str | None = None
    foreword: ForewordObject | UnsetType | None = UNSET


class EmbeddingBody(Struct):
    """The fields of an embeddings request that the gateway uses. All other fields pass through unread."""

    input: Raw
    model: str = ""
    user: str | None = None
    foreword: ForewordObject | UnsetType | None = UNSET


_chat = msgspec.json.Decoder(ChatBody)
_completion = msgspec.json.Decoder(CompletionBody)
_embedding = msgspec.json.Decoder(EmbeddingBody)
_part = msgspec.json.Decoder(_ContentPart)
_text = msgspec.json.Decoder(str)

_NOTHING = Controls()
_MIXED = Nbce()
_HEADERS = frozenset(
    {
        b"x-foreword-mode",
        b"x-foreword-collections",
        b"x-foreword-template",
        b"x-foreword-conversation",
        b"x-foreword-object",
        b"x-foreword-tags",
    }
)
_PREFIX = b"x-foreword-"
BOOLEANS = {b"true": True, b"1": True, b"false": False, b"0": False}
_NONE = (b"null", b"[]")
_ZERO = (b"0", b"0.0")
_FREE_FORMAT = re.compile(rb'^\{\s*"type"\s*:\s*"text"\s*\}$')


def chat(raw: bytes, headers: Mapping[bytes, bytes]) -> Ask:
    """Decode a chat completion request. Raises `BadRequest` with OpenAI's wording and the name of the invalid field."""
    body = decoded(_chat, raw)
    named, kept_elsewhere = prompt_of(body.prompt)
    if body.messages is UNSET and named is None and not kept_elsewhere:
        raise missing("messages")
    messages = () if body.messages is UNSET else body.messages
    return Ask(
        endpoint=Endpoint.CHAT,
        model=body.model,
        raw=raw,
        turns=tuple([_turn(index, message) for index, message in enumerate(messages)]),
        stream=bool(body.stream),
        room_tokens=max(0, body.max_completion_tokens or body.max_tokens or 0),
        choices=_number(body.n),
        greedy=body.temperature is not UNSET and bytes(body.temperature) in _ZERO,
        has_tools=is_given(body.tools) or is_given(body.functions),
        may_require_call=is_given(body.tool_choice) or is_given(body.function_call),
        has_format=is_given(body.response_format) and not _FREE_FORMAT.match(bytes(body.response_format)),
        kept_elsewhere=kept_elsewhere,
        user=body.user or "",
        named=named,
        mcp=mcp_of(body.tools),
        controls=controls_of(body.foreword, headers),
        marked=body.foreword is not UNSET,
    )


def completion(raw: bytes, headers: Mapping[bytes, bytes]) -> Ask:
    """Decode a legacy completion request. The prompt is read only if it is a single string."""
    body = decoded(_completion, raw)
    if bytes(body.prompt) == NULL:
        raise missing("prompt")
    try:
        turns: tuple[Turn, ...] = (Turn("user", _text.decode(body.prompt), 0),)
    except msgspec.ValidationError:
        turns = (Turn("user", "", 0, plain=False),)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise not_json(error) from None
    return Ask(
        endpoint=Endpoint.COMPLETION,
        model=body.model,
        raw=raw,
        turns=turns,
        stream=bool(body.stream),
        room_tokens=max(0, body.max_tokens or 0),
        user=body.user or "",
        may_require_call=False,
        controls=controls_of(body.foreword, headers),
        marked=body.foreword is not UNSET,
    )


def embedding(raw: bytes, headers: Mapping[bytes, bytes]) -> Ask:
    """Decode an embeddings request. The backend validates `input`."""
    body = decoded(_embedding, raw)
    if bytes(body.input) == NULL:
        raise missing("input")
    return Ask(
        endpoint=Endpoint.EMBEDDING,
        model=body.model,
        raw=raw,
        user=body.user or "",
        may_require_call=False,
        controls=controls_of(body.foreword, headers),
        marked=body.foreword is not UNSET,
    )


def _turn(index: int, message: _RequestMessage) -> Turn:
    content = message.content
    calls = is_given(message.tool_calls) or is_given(message.function_call)
    if isinstance(content, str):
        return Turn(message.role, content, index, not calls)
    if content is not None and len(content) == 1 and not calls:
        text = _only_text(content[0])
        if text is not None:
            return Turn(message.role, text, index)
    return Turn(message.role, "", index, plain=False)


def _only_text(part: Raw) -> str | None:
    try:
        content = parsed(_part, part)
    except msgspec.ValidationError:
        return None  # an unknown kind of part: the backend validates it
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise not_json(error) from None
    return content.text if content.type == "text" and isinstance(content.text, str) else None


def is_given(raw: Raw | UnsetType) -> TypeGuard[Raw]:
    """Return whether the field is present and is neither null nor an empty list."""
    return raw is not UNSET and bytes(raw) not in _NONE


def _number(raw: Raw | UnsetType) -> int:
    """Return the field's value if it is a whole number, otherwise 1. The backend validates the field."""
    number = None if raw is UNSET else whole(bytes(raw).decode("latin-1"))
    return 1 if number is None else number


def controls_of(body: ForewordObject | UnsetType | None, headers: Mapping[bytes, bytes]) -> Controls:
    """Read the controls from the `foreword` object. A control that the object lacks is read from its `x-foreword-*`
    header."""
    given = body if isinstance(body, ForewordObject) else ForewordObject()
    # joining the names is four times as fast as looking at each
    if b"\n" + _PREFIX in b"\n".join([b"", *headers]):
        _check_names(headers)
    if not isinstance(body, ForewordObject) and headers.keys().isdisjoint(_HEADERS):
        return _NOTHING
    mode = given.mode
    header = headers.get(b"x-foreword-mode")
    if mode is None and header is not None:
        try:
            mode = Mode(header.decode("latin-1").strip().lower())
        except ValueError:
            known = ", ".join(Mode)
            raise BadRequest(f"Invalid header x-foreword-mode: use one of {known}.", param="x-foreword-mode") from None
    return Controls(
        mode=mode,
        template=given.template or headers.get(b"x-foreword-template", b"").decode("utf-8", "replace"),
        collections=tuple(given.collections) or _listed(headers, b"x-foreword-collections"),
        collections_required=given.collections_required,
        filters=filter_of(given.filters, "foreword.filters"),
        top_k=given.top_k,
        budget_tokens=given.budget_tokens,
        conversation=given.conversation or headers.get(b"x-foreword-conversation", b"").decode("utf-8", "replace"),
        contexts=tuple(given.contexts),
        account=_account(headers, default=body is not UNSET),
        strategy=given.strategy,
        nbce=_nbce(given) if given.contexts else _MIXED,
        closing_event=given.closing_event,
        tags=tuple(given.tags) or _listed(headers, b"x-foreword-tags"),
    )


def _check_names(headers: Mapping[bytes, bytes]) -> None:
    """Raise `BadRequest` for a header of ours that does not exist, as for an unknown field of the `foreword` object."""
    for name in headers:
        if name.startswith(_PREFIX) and name not in _HEADERS:
            text = name.decode("latin-1")
            known = {header.removeprefix(_PREFIX).decode(): header.decode() for header in sorted(_HEADERS)}
            close = difflib.get_close_matches(text.removeprefix(_PREFIX.decode()), known, 1)
            hint = f"Did you mean {known[close[0]]}?" if close else f"Known: {', '.join(known.values())}."
            raise BadRequest(f"Unknown header {text}. {hint}", param=text, code="unknown_parameter")


def _listed(headers: Mapping[bytes, bytes], name: bytes) -> tuple[str, ...]:
    values = headers.get(name, b"").decode("utf-8", "replace").split(",")
    return tuple([value.strip() for value in values if value.strip()])


def _account(headers: Mapping[bytes, bytes], *, default: bool) -> bool:
    """Return whether to add the `foreword` object to the reply. Return `default` if the request lacks the header
    `x-foreword-object`."""
    value = headers.get(b"x-foreword-object")
    if value is None:
        return default
    try:
        return BOOLEANS[value.strip().lower()]
    except KeyError:
        param = "x-foreword-object"
        raise BadRequest(f"Invalid header {param}: use true or false.", param=param) from None


def _nbce(given: ForewordObject) -> Nbce:
    scores = tuple(given.scores)
    if scores and len(scores) != len(given.contexts):
        raise BadRequest(
            f"Invalid 'foreword.scores': {len(scores)} scores for {len(given.contexts)} contexts.",
            param="foreword.scores",
        )
    return Nbce(given.pooling, given.beta, given.eta, given.gamma, given.alpha, scores)
