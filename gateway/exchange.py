"""The values a request becomes on its way: the ask, what was decided about it, and why.

Everything here is frozen. A stage takes an `Exchange` and returns a new one with
`msgspec.structs.replace`; a stage that fails returns the one it was given.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from msgspec import Struct
from msgspec.structs import replace

from gateway.file_search import FileSearch, FileSearchResult
from gateway.filters import Filter
from gateway.split import Split


class Endpoint(StrEnum):
    """What the client asked for. The value is the path below `/v1/`."""

    CHAT = "chat/completions"
    COMPLETION = "completions"
    EMBEDDING = "embeddings"
    RESPONSES = "responses"

    @property
    def takes_messages(self) -> bool:
        """Whether it is asked with messages, which the stages can work on."""
        return self in (Endpoint.CHAT, Endpoint.RESPONSES)


class Mode(StrEnum):
    """How far the gateway may go with a request."""

    OFF = "off"  # a plain proxy
    SHADOW = "shadow"  # decide and record, change nothing
    ON = "on"


class Arm(StrEnum):
    """Which side of an experiment an exchange is on."""

    NONE = ""  # of none: its prompt stays as it is
    STABLE = "stable"  # the template that everybody gets
    CANARY = "canary"  # the version on trial
    HELD = "held"  # a control: it would have been rewritten, and was not
    SHADOW = "shadow"  # decided and recorded; nothing is changed for anybody


class CanaryTrial(Struct, frozen=True):
    """An experiment on rewriting: the share of conversations that are rewritten. The rest are its control."""

    name: str
    share: float


class Turn(Struct, frozen=True):
    """One message. `text` is "" where the content is not plain text (images, audio, tool calls).

    `source` is the index of the client's own message that this turn keeps byte for byte;
    -1 marks a turn that the gateway wrote.
    """

    role: str
    text: str
    source: int = -1
    plain: bool = True


class Nbce(Struct, frozen=True):
    """How passages that are read beside each other are mixed; `context/nbce.py` has the formulas.

    `pooling` "": `expert` where there are retrieval scores, else `min_entropy`. `scores`: the
    relevance of each passage, from 0 to 1; none: the gateway's embedder is asked.
    """

    pooling: str = ""
    beta: float = 0.25
    eta: float = 0.1
    gamma: float = 2.5
    alpha: float = 0.25
    scores: tuple[float, ...] = ()


class Controls(Struct, frozen=True):
    """What the request itself asked of the gateway (`"foreword": {...}` or `x-foreword-*`)."""

    mode: Mode | None = None
    template: str = ""
    collections: tuple[str, ...] = ()
    filters: Filter | None = None
    """Which documents of the collections may be used, by their attributes."""
    top_k: int = 0
    budget_tokens: int = 0
    conversation: str = ""
    contexts: tuple[str, ...] = ()
    """Passages for one question, each to be read apart from the others."""
    account: bool = False
    """The reply is to hold the `foreword` object."""
    strategy: str = ""
    """How to bring more text than fits to the model; "": the gateway chooses."""
    nbce: Nbce = Nbce()
    closing_event: bool | None = None
    """Whether a stream may end with an event of the gateway's own; None: as the gateway is configured."""


class NamedTemplate(Struct, frozen=True):
    """A template that the request asks for by its id, with what goes into its slots (OpenAI's `prompt`).

    `id` may be a template's or a family's; `version` 0 is the one in use. `filled`: its messages
    are in the ask's turns, ahead of the client's own. `fault`: why no version of ours can be meant.
    """

    id: str
    version: int = 0
    variables: Mapping[str, str] = {}
    filled: bool = False
    fault: str = ""


class Ask(Struct, frozen=True):
    """A request as it came in. `raw` is the body's bytes, never changed.

    `room_tokens` is what the client reserved for the answer (0: it did not say).
    """

    endpoint: Endpoint
    model: str
    raw: bytes
    turns: tuple[Turn, ...] = ()
    stream: bool = False
    room_tokens: int = 0
    choices: int = 1
    """How many answers the client wants (`n`)."""
    greedy: bool = False
    """The client wants the likeliest answer (`temperature` 0), so that drawing several makes no sense."""
    has_tools: bool = False
    has_format: bool = False
    """The client demands an output format (`response_format`), which a template could contradict."""
    kept_elsewhere: bool = False
    """Part of the prompt is kept by the backend: an earlier response, a conversation, a stored prompt of its own."""
    previous: str = ""
    """The id of an earlier response that the request carries on from."""
    user: str = ""
    named: NamedTemplate | None = None
    search: FileSearch | None = None
    controls: Controls = Controls()
    # True where the body cannot be sent on as it is: it holds a "foreword" object.
    marked: bool = False

    @property
    def spoken_for(self) -> bool:
        """Whether the turns begin with a template's messages, so that the body cannot be sent as it came."""
        return self.named is not None and self.named.filled

    @property
    def query(self) -> str:
        """The last user message, or "" if it is not plain text."""
        for turn in reversed(self.turns):
            if turn.role == "user":
                return turn.text if turn.plain else ""
        return ""


class ClientKey(Struct, frozen=True):
    """Who asks, and what they may. Empty tuples allow everything."""

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


ClientKey.ANONYMOUS = ClientKey()


class Intent(Struct, frozen=True):
    """What the classifier thinks. `name` is "" for *unknown*, which is a real answer.

    `confidence` is a calibrated probability; `improvable` the probability that a rewrite can help.
    """

    name: str = ""
    confidence: float = 0.0
    improvable: float = 0.0
    language: str = ""
    tier: str = ""
    reasons: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    """Of task, context, format, constraints and examples those that the prompt does not give."""
    needs: tuple[str, ...] = ()
    """Of context, long context, reasoning and a tool those that an answer seems to need."""

    UNKNOWN: ClassVar["Intent"]

    @property
    def known(self) -> bool:
        return bool(self.name)


Intent.UNKNOWN = Intent()


class SlotValue(Struct, frozen=True):
    """A filled slot, and where in the query it stood ([start, end) in characters; -1 if nowhere)."""

    name: str
    value: str
    source: str
    start: int = -1
    end: int = -1


class Sampling(Struct, frozen=True):
    """What a template wants of the decoder, where the client did not say."""

    max_tokens: int = 0
    temperature: float | None = None
    stop: tuple[str, ...] = ()

    NONE: ClassVar["Sampling"]


Sampling.NONE = Sampling()


class Rewrite(Struct, frozen=True):
    """Which template spoke, with what in its slots."""

    template: str = ""
    version: int = 0
    technique: str = ""
    slots: tuple[SlotValue, ...] = ()
    shots: tuple[str, ...] = ()
    """Ids of the few-shot examples chosen for this request."""
    arm: Arm = Arm.NONE
    withheld: tuple[Turn, ...] = ()
    """What would have been sent, where the arm or the template's own policy kept it back."""

    NONE: ClassVar["Rewrite"]


Rewrite.NONE = Rewrite()


class Chunk(Struct, frozen=True):
    """A piece of a document. `start` and `end` are character positions in the document's text.

    `score` is the similarity to the query; higher is better.
    """

    id: str
    collection: str
    source: str
    text: str
    start: int = 0
    end: int = 0
    heading: str = ""
    page: int = 0
    tokens: int = 0
    score: float = 0.0


class ContextPlan(Struct, frozen=True):
    """How the prompt was made to fit: `direct` or `trimmed`, and what that cost."""

    strategy: str = "direct"
    window_tokens: int = 0
    prompt_tokens: int = 0
    dropped_turns: int = 0
    reach_tokens: int = 0
    """For how many tokens, prompt and answer, positions are set where they are stretched; chosen once and kept."""

    DIRECT: ClassVar["ContextPlan"]


ContextPlan.DIRECT = ContextPlan()


class Target(Struct, frozen=True):
    """One place that can answer: a backend, and the model's name there.

    `window_tokens` is how much the model reads well. `longer` takes more: the same engine with stretched
    positions, or another deployment of the model. `repeat`: a request may be sent again although it was taken.
    """

    backend: str
    model: str
    window_tokens: int = 0
    longer: "Target | None" = None
    repeat: bool = False

    def stretches(self, other: "Target") -> bool:
        """Whether `other` is this engine itself with positions drawn out."""
        return (self.backend, self.model) == (other.backend, other.model)


class Call(Struct, frozen=True):
    """One call of a model that the gateway made on its own account, beside the one that answers.

    `purpose` says what for: `refine`, `slots`, a template's own first call, `sample`, `retry`, `judge`.
    Tokens are -1 where the backend did not tell.
    """

    purpose: str
    backend: str = ""
    model: str = ""
    prompt_tokens: int = -1
    completion_tokens: int = -1
    took_us: int = 0
    error: str = ""


class Note(Struct, frozen=True):
    """One decision: which stage, what, why, and what it cost."""

    stage: str
    decision: str
    reason: str = ""
    data: Mapping[str, Any] = {}
    took_us: int = 0


class Drawn(Struct, frozen=True):
    """One of the answers to a prompt. `number` tells it from the others; `tokens` counts prompt and answer."""

    number: int
    text: str
    tokens: int = 0


class AnswerDraws(Protocol):
    """Draws answers to one exchange and books what each costs. Raises `RequestError`."""

    async def draw(self, purpose: str, follow: Sequence[Turn] = (), temperature: float | None = None) -> Drawn:
        """One more answer; `follow` are turns after the prompt. All but the one that is chosen count as extra calls."""
        ...

    async def judge(self, turns: Sequence[Turn], model: str = "") -> Drawn:
        """What a model says to a question of the gateway's own; "" asks the one that answers. It has no number."""
        ...


class ChosenAnswer(Struct, frozen=True):
    """The answer that the client gets, by its number, and how it came to be chosen."""

    number: int
    notes: tuple["Note", ...] = ()


class Procedure(Protocol):
    """The part of a technique that comes after the prompt: several answers, checks, another round."""

    @property
    def several(self) -> bool:
        """Whether more than one plain call may be needed."""
        ...

    @property
    def marker(self) -> str:
        """What the line with the answer proper begins with, where the reasoning is to be split off; else ""."""
        ...

    async def settle(self, exchange: "Exchange", asking: AnswerDraws) -> ChosenAnswer: ...


class Exchange(Struct, frozen=True):
    """One request with everything decided about it. Neutral defaults: any stage can be left out."""

    id: str
    ask: Ask
    key: ClientKey = ClientKey.ANONYMOUS
    mode: Mode = Mode.ON
    dry: bool = False
    """Only looked at: no model is called."""
    tell: Callable[[str], Awaitable[None]] | None = None
    """Tells the client how far slow work is, where it waits for a stream that can carry that."""
    job: str = ""
    """The offline job whose own call this is; "" for a client's."""
    started_s: float = 0.0
    trials: tuple[CanaryTrial, ...] = ()
    """The experiments of the route and the key that it takes part in."""
    untouchable: str | None = None
    """Why the prompt has to stay as it is, "" if it may be changed; None: no stage has looked yet."""
    split: Split | None = None
    """The query taken apart; None: no stage has needed it yet."""
    intent: Intent = Intent.UNKNOWN
    turns: tuple[Turn, ...] | None = None
    """The prompt to send instead of the ask's turns; None while no stage changed it."""
    sampling: Sampling = Sampling.NONE
    rewrite: Rewrite = Rewrite.NONE
    procedure: Procedure | None = None
    chunks: tuple[Chunk, ...] = ()
    searched: FileSearchResult | None = None
    """What the client's tool `file_search` found; None where there is none, or where the backend has to search."""
    plan: ContextPlan = ContextPlan.DIRECT
    route: tuple[Target, ...] = ()
    calls: tuple[Call, ...] = ()
    """The calls of a model that the gateway made to prepare the prompt or to better the answer."""
    notes: tuple[Note, ...] = ()

    @property
    def prompt(self) -> tuple[Turn, ...]:
        """The turns as the stages so far left them."""
        return self.ask.turns if self.turns is None else self.turns

    @property
    def sent(self) -> tuple[Turn, ...]:
        """The turns that are sent: in shadow mode what the client asked for, whatever the stages think.

        Whatever the mode, what was found for the client's own `file_search` is sent; with the mode off, also what was
        found in the collections that the request names: both are context it asked for.
        """
        return self.turns if self.turns is not None and self._improves else self.ask.turns

    @property
    def windows(self) -> tuple[str, ...]:
        """The passages that the engine itself is to read beside each other (NBCE)."""
        controls = self.ask.controls
        asked = controls.strategy in ("", "nbce") and self.plan.strategy in ("direct", "nbce")
        return controls.contexts if asked else ()

    @property
    def changed(self) -> bool:
        """Whether what is sent differs from what came in. In shadow mode it never does, but for a prompt by name."""
        return self.ask.spoken_for or (self.turns is not None and self._improves)

    @property
    def _improves(self) -> bool:
        if self.mode is Mode.ON or self.searched is not None:
            return True
        return self.mode is Mode.OFF and bool(self.chunks)

    @property
    def may_call(self) -> bool:
        """Whether a stage may call a model to prepare the prompt: not for a preview, and not in the shadow."""
        return self.mode is Mode.ON and not self.dry

    def noted(self, stage: str, decision: str, reason: str = "", data: Mapping[str, Any] | None = None) -> "Exchange":
        """The same exchange with one more note."""
        return replace(self, notes=(*self.notes, Note(stage, decision, reason, data or {})))
