"""Values that describe a request as the client sent it: its turns, its controls, and the client's key.

All of these values are frozen.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar, Protocol

from msgspec import Struct

from gateway.file_search import FileSearch
from gateway.filters import Filter
from gateway.mcp_offer import McpRequest


class Endpoint(StrEnum):
    """The endpoint of a request. The value is the path below `/v1/`."""

    CHAT = "chat/completions"
    COMPLETION = "completions"
    EMBEDDING = "embeddings"
    RESPONSES = "responses"
    MESSAGES = "messages"
    TOKEN_COUNT = "messages/count_tokens"
    OTHER = "other"
    """Every path that passes through unchanged. `Ask.path` has the path itself."""

    @property
    def takes_messages(self) -> bool:
        """Whether requests to this endpoint have messages, which the stages can change."""
        return self in (Endpoint.CHAT, Endpoint.RESPONSES, Endpoint.MESSAGES)

    @property
    def is_anthropic(self) -> bool:
        """Whether this is an endpoint of Anthropic's API, whose errors and streams have their own form."""
        return self in (Endpoint.MESSAGES, Endpoint.TOKEN_COUNT)


class Mode(StrEnum):
    """What the gateway may do with a request."""

    OFF = "off"  # a plain proxy
    SHADOW = "shadow"  # decide and record, change nothing
    PROVEN = (
        # as `on`, but the prompt changes only if this model measurably gains from the change, or if the client asked
        # for it
        "proven"
    )
    ON = "on"

    @property
    def changes(self) -> bool:
        """Whether a stage may change the request in this mode."""
        return self in (Mode.PROVEN, Mode.ON)


class Turn(Struct, frozen=True):
    """One message. `text` is "" if the content is not plain text (images, audio, tool calls).

    If the turn repeats a message of the client byte for byte, `source` is the index of that message. Otherwise `source`
    is -1.

    If the turn adds text to a message of the client, `around` is the index of that message. The client's text then
    begins at character `offset` of `text`, and all other fields of the client's message are kept. Otherwise `around` is
    -1.
    """

    role: str
    text: str
    source: int = -1
    plain: bool = True
    around: int = -1
    offset: int = 0


class Nbce(Struct, frozen=True):
    """How the engine mixes passages that it reads in parallel. The formulas are in
    `backends/local/torch_engine/nbce.py`.

    `scores` holds the relevance of each passage, from 0 to 1. If `scores` is empty and the gateway has an embedder, the
    embedder computes the scores. If `pooling` is "", the engine uses `expert` if it has scores, and `min_entropy` if it
    has none.
    """

    pooling: str = ""
    beta: float = 0.25
    eta: float = 0.1
    gamma: float = 2.5
    alpha: float = 0.25
    scores: tuple[float, ...] = ()


class Controls(Struct, frozen=True):
    """The client's settings for the gateway, from the request's object `"foreword"` or its headers `x-foreword-*`."""

    mode: Mode | None = None
    template: str = ""
    collections: tuple[str, ...] = ()
    collections_required: bool = False
    """Whether the answer must come from the sources of the collections. If False, a question that the collections say
    nothing about is answered without sources.
    """
    filters: Filter | None = None
    """A condition on the attributes of documents. Only documents that meet it are used."""
    top_k: int = 0
    budget_tokens: int = 0
    conversation: str = ""
    contexts: tuple[str, ...] = ()
    """Passages for one question. The model reads each passage independently of the others."""
    account: bool = False
    """Whether the client wants the `foreword` object in the reply."""
    strategy: str = ""
    """How to process a text that is longer than the model's window. If this is "", the gateway chooses."""
    nbce: Nbce = Nbce()
    tags: tuple[str, ...] = ()
    """Only deployments with all of these tags may answer."""
    closing_event: bool | None = None
    """Whether the gateway may add an event at the end of a stream. If this is None, the configuration decides."""


class NamedTemplate(Struct, frozen=True):
    """A template that the request names by its id, with the values of the template's slots (OpenAI's `prompt`).

    `id` names a template or a family. A `version` of 0 means the version in use. `filled` is true once the template's
    messages are at the start of the ask's turns. `fault` says what is wrong with the requested version, or is "".
    """

    id: str
    version: int = 0
    variables: Mapping[str, str] = {}
    filled: bool = False
    fault: str = ""


class Unwritten(Protocol):
    """A body that is encoded when it is needed. A further translation needs only its parts."""

    @property
    def body(self) -> bytes: ...


class DecodedBody(Protocol):
    """The decoded parts of a body, for a translation that would have to decode it again."""

    @property
    def raw(self) -> bytes: ...


class Ask(Struct, frozen=True):
    """A request as the client sent it. `raw` holds the bytes of the body.

    `room_tokens` is the client's limit for the answer in tokens, or 0 if the client set none.
    """

    endpoint: Endpoint
    model: str
    raw: bytes
    turns: tuple[Turn, ...] = ()
    stream: bool = False
    room_tokens: int = 0
    choices: int = 1
    """The number of answers that the client asks for (`n`)."""
    greedy: bool = False
    """Whether the client set `temperature` to 0. Repeated answers to the same prompt would then be equal."""
    has_tools: bool = False
    has_format: bool = False
    """Whether the client demands an output format (`response_format`), which a template could contradict."""
    kept_elsewhere: bool = False
    """Whether the backend stores part of the prompt: an earlier response, a conversation, or a stored prompt."""
    previous: str = ""
    """The id of the earlier response that this request continues."""
    user: str = ""
    query_string: bytes = b""
    """The query string of the URL, such as `beta=true`. Only a backend for Anthropic's API gets it."""
    shows_thinking: bool = False
    """Whether a client of Anthropic's API wants to see the model's reasoning."""
    may_require_call: bool = True
    """Whether the body may require a tool call. If False, the body certainly requires none."""
    is_extended: bool = False
    """Whether the gateway wrote Anthropic's own fields into a chat body. Most backends do not take these fields."""
    owns_room: bool = False
    """Whether the gateway itself wrote `max_tokens` into the body. For some backends, this field must be renamed."""
    unwritten: Unwritten | None = None
    """The body, if it was translated and not encoded yet. It counts only while `raw` is empty."""
    read: DecodedBody | None = None
    """The parts of the body, if they were decoded. They count only while its `raw` is this `raw`."""
    named: NamedTemplate | None = None
    search: FileSearch | None = None
    mcp: tuple[McpRequest, ...] = ()
    """The tools of type `mcp`: the MCP servers that the client names."""
    controls: Controls = Controls()
    # True if the body holds a "foreword" object and therefore cannot be forwarded unchanged.
    marked: bool = False
    path: str = ""
    """The path below `/v1/`, without ids, of a request that passes through unchanged; otherwise ""."""

    @property
    def content(self) -> bytes:
        """The bytes of the body."""
        return self.raw if self.raw or self.unwritten is None else self.unwritten.body

    @property
    def spoken_for(self) -> bool:
        """Whether a template's messages were put before the client's messages. Such a request is encoded again and not
        forwarded as received.
        """
        return self.named is not None and self.named.filled

    @property
    def query(self) -> str:
        """The text of the last user message, or "" if that message is not plain text."""
        for turn in reversed(self.turns):
            if turn.role == "user":
                return turn.text if turn.plain else ""
        return ""


class ClientKey(Struct, frozen=True):
    """A client and its rights. If `models` or `collections` is empty, all models or all collections are allowed."""

    name: str = "anonymous"
    mode: Mode = Mode.ON
    canary: float = 1.0
    models: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    requests_per_minute: int = 0
    websockets: int = 0
    record: str = ""
    """The record policy of this key (`full`, `hashed` or `none`). If this is "", the gateway's policy applies."""
    admin: bool = False

    ANONYMOUS: ClassVar["ClientKey"]
