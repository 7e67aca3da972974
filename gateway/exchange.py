"""Defines `Exchange` and the types of its fields. An exchange holds a request, all decisions about it, and the
reasons.

All of these values are frozen. A stage takes an `Exchange` and returns a new one, made with
`msgspec.structs.replace`. If a stage fails, processing goes on with the exchange that the stage received.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from msgspec import Struct
from msgspec.structs import replace

from gateway.ask import Ask, ClientKey, Mode, Turn
from gateway.file_search import FileSearchResult
from gateway.split import Split


class Arm(StrEnum):
    """The group of an experiment to which an exchange belongs."""

    NONE = ""  # no experiment: the prompt stays as it is
    STABLE = "stable"  # the template in general use
    CANARY = "canary"  # the version on trial
    HELD = "held"  # the control: the prompt could be rewritten, but is left unchanged
    SHADOW = "shadow"  # the rewrite is decided and recorded, but not sent


class CanaryTrial(Struct, frozen=True):
    """An experiment on rewriting: the share of conversations that are rewritten. The rest are its control."""

    name: str
    share: float


ClientKey.ANONYMOUS = ClientKey()


class Intent(Struct, frozen=True):
    """The classifier's result. `name` is "" for *unknown*.

    `confidence` is a calibrated probability; `improvable` is the probability that a rewrite helps.
    """

    name: str = ""
    confidence: float = 0.0
    improvable: float = 0.0
    language: str = ""
    tier: str = ""
    reasons: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    """The parts that the prompt lacks, out of task, context, format, constraints and examples."""
    needs: tuple[str, ...] = ()
    """The things that an answer probably needs, out of context, long context, reasoning and a tool."""

    UNKNOWN: ClassVar["Intent"]

    @property
    def known(self) -> bool:
        return bool(self.name)


Intent.UNKNOWN = Intent()


class SlotValue(Struct, frozen=True):
    """A filled slot. Its value is the characters [start, end) of the query. Both are -1 if it is not from the query."""

    name: str
    value: str
    source: str
    start: int = -1
    end: int = -1


class Sampling(Struct, frozen=True):
    """The template's sampling parameters. A parameter is used only if the client did not set it."""

    max_tokens: int = 0
    temperature: float | None = None
    stop: tuple[str, ...] = ()

    NONE: ClassVar["Sampling"]


Sampling.NONE = Sampling()


class Rewrite(Struct, frozen=True):
    """The template that was used, with the values of its slots."""

    template: str = ""
    version: int = 0
    technique: str = ""
    slots: tuple[SlotValue, ...] = ()
    shots: tuple[str, ...] = ()
    """The ids of the few-shot examples that were chosen for this request."""
    arm: Arm = Arm.NONE
    controls: float = 0.0
    """The share of conversations that the template's experiment leaves unchanged, or 0 if there was no experiment."""
    withheld: tuple[Turn, ...] = ()
    """The rewritten prompt, if it was not sent. The reason is the arm, the template's policy, or a backend that refused
    the prompt."""
    tokens_without: int = 0
    tokens_with: int = 0
    """The estimated tokens of the prompt with the rewrite; `tokens_without` are those without it. The estimate is a
    quarter of the prompt's bytes in UTF-8."""

    NONE: ClassVar["Rewrite"]


Rewrite.NONE = Rewrite()


def cited_name(source: str) -> str:
    """Return the name by which clients know a document. Of a full path this is only the last part, since the path would
    reveal the machine's folders."""
    return source.rsplit("/", 1)[-1] if source.startswith("/") else source


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

    @property
    def cited(self) -> str:
        """The name of the chunk's document, for clients and prompts."""
        return cited_name(self.source)


class ContextPlan(Struct, frozen=True):
    """How the prompt was fitted into the window, and how much was left out."""

    strategy: str = "direct"
    window_tokens: int = 0
    prompt_tokens: int = 0
    dropped_turns: int = 0
    reach_tokens: int = 0
    """The number of tokens, of prompt and answer together, for which positions are stretched. It is chosen once for an
    exchange."""

    DIRECT: ClassVar["ContextPlan"]


ContextPlan.DIRECT = ContextPlan()


class Target(Struct, frozen=True):
    """A backend that can answer, and the model's name there.

    `window_tokens` is the length of context that the model reads well. `longer` is a target that accepts a longer
    context: the same engine with stretched positions, or another deployment of the model. `repeat` tells whether a
    request may be sent again after the backend accepted it.
    """

    backend: str
    model: str
    window_tokens: int = 0
    longer: "Target | None" = None
    repeat: bool = False

    def stretches(self, other: "Target") -> bool:
        """Whether `other` is the same engine with stretched positions."""
        return (self.backend, self.model) == (other.backend, other.model)


class Call(Struct, frozen=True):
    """One model call that the gateway makes in addition to the call that answers the client.

    `purpose` is `refine`, `slots`, the name of a template's first call, `sample`, `retry` or `judge`. Tokens
    are -1 if the backend did not report them.
    """

    purpose: str
    backend: str = ""
    model: str = ""
    prompt_tokens: int = -1
    completion_tokens: int = -1
    took_us: int = 0
    error: str = ""


class Note(Struct, frozen=True):
    """One decision, with its stage, its reason, and the time that it took."""

    stage: str
    decision: str
    reason: str = ""
    data: Mapping[str, Any] = {}
    took_us: int = 0


class Drawn(Struct, frozen=True):
    """One of several answers to a prompt. `number` identifies it; `tokens` counts prompt and answer."""

    number: int
    text: str
    tokens: int = 0


class AnswerDraws(Protocol):
    """Draws answers to one exchange and counts the cost of each. Raises `RequestError`."""

    async def draw(self, purpose: str, follow: Sequence[Turn] = (), temperature: float | None = None) -> Drawn:
        """Draw one more answer. `follow` holds turns that come after the prompt. Every answer except the chosen one
        counts as an extra call."""
        ...

    async def judge(self, turns: Sequence[Turn], model: str = "") -> Drawn:
        """Send `turns`, a question that the gateway wrote, to `model`. If `model` is "", the model of the exchange is
        used. The returned answer has no number."""
        ...


class ChosenAnswer(Struct, frozen=True):
    """The number of the answer that the client gets, and the way in which it was chosen."""

    number: int
    notes: tuple["Note", ...] = ()


class Procedure(Protocol):
    """The part of a technique that runs after the prompt is sent: several answers, checks, further rounds."""

    @property
    def several(self) -> bool:
        """Whether the procedure may need more than one plain call."""
        ...

    @property
    def marker(self) -> str:
        """The text with which the line of the final answer begins, or "" if the reasoning is not split from the
        answer."""
        ...

    async def settle(self, exchange: "Exchange", asking: AnswerDraws) -> ChosenAnswer: ...


class Exchange(Struct, frozen=True):
    """One request with all decisions about it. The defaults are neutral, so any stage can be left out."""

    id: str
    ask: Ask
    key: ClientKey = ClientKey.ANONYMOUS
    mode: Mode = Mode.ON
    dry: bool = False
    """Whether this is a preview, for which no model is called."""
    tell: Callable[[str], Awaitable[None]] | None = None
    """Sends the progress of slow work to the client, if its stream can carry it."""
    job: str = ""
    """The offline job that makes this request, or "" if a client makes it."""
    started_s: float = 0.0
    trials: tuple[CanaryTrial, ...] = ()
    """The experiments of the request's route and key."""
    untouchable: str | None = None
    """The reason why the prompt must not be changed, or "" if it may be changed. It is None until a stage has checked
    this."""
    split: Split | None = None
    """The query, split into instruction and text. It is None until a stage needs it."""
    intent: Intent = Intent.UNKNOWN
    turns: tuple[Turn, ...] | None = None
    """The prompt to send instead of the ask's turns, or None if no stage has changed the prompt."""
    sampling: Sampling = Sampling.NONE
    rewrite: Rewrite = Rewrite.NONE
    proven: tuple[str, ...] | None = None
    """The names, at their backends, of the models on the route that measurably gain from the rewritten prompt. All
    other models get the client's prompt. This is None if the rewrite needs no measurement."""
    procedure: Procedure | None = None
    chunks: tuple[Chunk, ...] = ()
    searched: FileSearchResult | None = None
    """The result of the client's tool `file_search`. It is None if the request has no such tool, or if the backend does
    the search."""
    plan: ContextPlan = ContextPlan.DIRECT
    route: tuple[Target, ...] = ()
    spare: bool = False
    """Whether further targets are tried with another prompt if all targets of `route` fail."""
    calls: tuple[Call, ...] = ()
    """The model calls that the gateway made to prepare the prompt or to improve the answer."""
    notes: tuple[Note, ...] = ()

    @property
    def prompt(self) -> tuple[Turn, ...]:
        """The turns as the stages that have already run left them."""
        return self.ask.turns if self.turns is None else self.turns

    @property
    def sent(self) -> tuple[Turn, ...]:
        """The turns that are sent. In shadow mode these are the client's turns.

        Results of the client's tool `file_search` are sent in every mode. In the mode `off`, passages from collections
        that the request names are sent too. The request asks for both.
        """
        return self.turns if self.turns is not None and self._improves else self.ask.turns

    @property
    def windows(self) -> tuple[str, ...]:
        """The passages that the engine reads in parallel (NBCE)."""
        controls = self.ask.controls
        reads_parallel = controls.strategy in ("", "nbce") and self.plan.strategy in ("direct", "nbce")
        return controls.contexts if reads_parallel else ()

    @property
    def changed(self) -> bool:
        """Whether the turns that are sent differ from the client's turns. In shadow mode they differ only if the
        request uses a prompt by name."""
        return self.ask.spoken_for or (self.turns is not None and self._improves)

    @property
    def _improves(self) -> bool:
        if self.mode.changes or self.searched is not None:
            return True
        return self.mode is Mode.OFF and bool(self.chunks)

    @property
    def may_call(self) -> bool:
        """Whether a stage may call a model to prepare the prompt. It may not in a preview or in shadow mode."""
        return self.mode.changes and not self.dry

    def noted(self, stage: str, decision: str, reason: str = "", data: Mapping[str, Any] | None = None) -> "Exchange":
        """Return the exchange with one more note."""
        return replace(self, notes=(*self.notes, Note(stage, decision, reason, data or {})))
