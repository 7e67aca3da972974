"""The request as the client sent it: the ask with its turns and controls, and the client's key. All frozen values."""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar

from msgspec import Struct

from gateway.file_search import FileSearch
from gateway.filters import Filter


class Endpoint(StrEnum):
    """The endpoint of a request. The value is the path below `/v1/`."""

    CHAT = "chat/completions"
    COMPLETION = "completions"
    EMBEDDING = "embeddings"
    RESPONSES = "responses"

    @property
    def takes_messages(self) -> bool:
        """Whether its requests have messages, which the stages can work on."""
        return self in (Endpoint.CHAT, Endpoint.RESPONSES)


class Mode(StrEnum):
    """What the gateway may do with a request."""

    OFF = "off"  # a plain proxy
    SHADOW = "shadow"  # decide and record, change nothing
    PROVEN = (
        "proven"  # as `on`, but a change that the client did not request needs a measured gain with the answering model
    )
    ON = "on"

    @property
    def changes(self) -> bool:
        """Whether requests may be changed."""
        return self in (Mode.PROVEN, Mode.ON)


class Turn(Struct, frozen=True):
    """One message. `text` is "" if the content is not plain text (images, audio, tool calls).

    `source` is the index of the client's own message that this turn keeps byte for byte;
    -1 marks a turn that the gateway wrote. `around` is the index of the client's message that the turn adds to: its
    text begins at character `offset` of the turn's, and its other fields stay. -1 marks a turn with none.
    """

    role: str
    text: str
    source: int = -1
    plain: bool = True
    around: int = -1
    offset: int = 0


class Nbce(Struct, frozen=True):
    """How the engine mixes passages that it reads in parallel; `backends/local/torch_engine/nbce.py` has the formulas.

    `pooling` "": `expert` if there are retrieval scores, else `min_entropy`. `scores`: the relevance of each
    passage, from 0 to 1; without them the gateway's embedder computes it.
    """

    pooling: str = ""
    beta: float = 0.25
    eta: float = 0.1
    gamma: float = 2.5
    alpha: float = 0.25
    scores: tuple[float, ...] = ()


class Controls(Struct, frozen=True):
    """The request's own settings for the gateway (`"foreword": {...}` or `x-foreword-*`)."""

    mode: Mode | None = None
    template: str = ""
    collections: tuple[str, ...] = ()
    filters: Filter | None = None
    """A condition on the attributes of the documents to use."""
    top_k: int = 0
    budget_tokens: int = 0
    conversation: str = ""
    contexts: tuple[str, ...] = ()
    """Passages for one question. Each is read independently of the others."""
    account: bool = False
    """Whether the reply must hold the `foreword` object."""
    strategy: str = ""
    """How the model reads a text that is longer than its window; "": the gateway chooses."""
    nbce: Nbce = Nbce()
    closing_event: bool | None = None
    """Whether a stream may end with an event of the gateway's own; None: as configured."""


class NamedTemplate(Struct, frozen=True):
    """A template that the request names by its id, with the values of its slots (OpenAI's `prompt`).

    `id` names a template or a family; `version` 0 is the one in use. `filled`: the template's messages are in
    the ask's turns, before the client's own. `fault`: the reason why the version cannot be one of the
    gateway's.
    """

    id: str
    version: int = 0
    variables: Mapping[str, str] = {}
    filled: bool = False
    fault: str = ""


class Ask(Struct, frozen=True):
    """A request as the client sent it. `raw` holds the bytes of the body and never changes.

    `room_tokens` is the client's limit for the answer in tokens (0: none).
    """

    endpoint: Endpoint
    model: str
    raw: bytes
    turns: tuple[Turn, ...] = ()
    stream: bool = False
    room_tokens: int = 0
    choices: int = 1
    """The number of answers (`n`)."""
    greedy: bool = False
    """The client requested the most likely answer (`temperature` 0), so several draws would all be equal."""
    has_tools: bool = False
    has_format: bool = False
    """The client demands an output format (`response_format`), which a template could contradict."""
    kept_elsewhere: bool = False
    """The backend holds part of the prompt: an earlier response, a conversation, or a stored prompt."""
    previous: str = ""
    """The id of an earlier response that the request continues."""
    user: str = ""
    named: NamedTemplate | None = None
    search: FileSearch | None = None
    controls: Controls = Controls()
    # True if the body cannot be forwarded unchanged because it holds a "foreword" object.
    marked: bool = False

    @property
    def spoken_for(self) -> bool:
        """Whether the turns begin with a template's messages. The body cannot be forwarded unchanged then."""
        return self.named is not None and self.named.filled

    @property
    def query(self) -> str:
        """The last user message, or "" if it is not plain text."""
        for turn in reversed(self.turns):
            if turn.role == "user":
                return turn.text if turn.plain else ""
        return ""


class ClientKey(Struct, frozen=True):
    """A client and its rights. Empty tuples allow everything."""

    name: str = "anonymous"
    mode: Mode = Mode.ON
    canary: float = 1.0
    models: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    requests_per_minute: int = 0
    record: str = ""
    """The record policy of this key (`full`, `hashed`, `none`); "" takes the gateway's."""
    admin: bool = False

    ANONYMOUS: ClassVar["ClientKey"]
