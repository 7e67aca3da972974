"""Defines `Exchange` and the types of its fields. An exchange holds a request and all decisions about it.

All of these types are frozen. A stage takes an `Exchange` and returns a new one, made with `msgspec.structs.replace`.
If a stage fails, the exchange stays as it was before the stage.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from msgspec import Struct
from msgspec.structs import replace

from gateway.ask import Ask, ClientKey, Mode, Turn
from gateway.file_search import FileSearchResult
from gateway.mcp_offer import McpOffer
from gateway.recognised import RecognisedPrompt
from gateway.split import Split


class Arm(StrEnum):
    """The group of an experiment to which an exchange belongs."""

    NONE = ""  # no experiment: the prompt stays as it is
    STABLE = "stable"  # the template in general use
    CANARY = "canary"  # the version on trial
    HELD = "held"  # the control: the prompt could be rewritten, but stays as it is
    SHADOW = "shadow"  # the rewrite is decided and recorded, but not sent


class CanaryTrial(Struct, frozen=True):
    """An experiment that rewrites a share of the conversations. The other conversations are the control."""

    name: str
    share: float


ClientKey.ANONYMOUS = ClientKey()


class Intent(Struct, frozen=True):
    """The classifier's result. `name` is "" if the intent is unknown.

    `confidence` is the calibrated probability that `name` is right. `improvable` is the probability that a rewrite
    helps.
    """

    name: str = ""
    confidence: float = 0.0
    improvable: float = 0.0
    language: str = ""
    tier: str = ""
    reasons: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    """The parts that the prompt lacks. Possible parts are task, context, format, constraints and examples."""
    needs: tuple[str, ...] = ()
    """The things that an answer probably needs. Possible things are context, long context, reasoning and a tool."""

    UNKNOWN: ClassVar["Intent"]

    @property
    def known(self) -> bool:
        return bool(self.name)


Intent.UNKNOWN = Intent()


class SlotValue(Struct, frozen=True):
    """The value of one slot in a template. [start, end) is the range of characters of the value in the query. `start`
    and `end` are -1 if the value does not come from the query.
    """

    name: str
    value: str
    source: str
    start: int = -1
    end: int = -1


class Sampling(Struct, frozen=True):
    """The sampling parameters of a template. A parameter is used only if the client did not set it."""

    max_tokens: int = 0
    temperature: float | None = None
    stop: tuple[str, ...] = ()

    NONE: ClassVar["Sampling"]


Sampling.NONE = Sampling()


class Rewrite(Struct, frozen=True):
    """The template that was used, and the values of its slots."""

    template: str = ""
    version: int = 0
    technique: str = ""
    slots: tuple[SlotValue, ...] = ()
    shots: tuple[str, ...] = ()
    """The ids of the few-shot examples in the prompt."""
    arm: Arm = Arm.NONE
    controls: float = 0.0
    """The share of conversations that the experiment keeps as its control. 0 without an experiment."""
    withheld: tuple[Turn, ...] = ()
    """The rewritten prompt, if it was not sent. The reason is the arm, the template's policy, or a refusal by the
    backend.
    """
    tokens_without: int = 0
    tokens_with: int = 0
    """The estimated number of tokens of the prompt with the rewrite. `tokens_without` is the number without the
    rewrite. The estimate is a quarter of the prompt's bytes.
    """

    NONE: ClassVar["Rewrite"]


Rewrite.NONE = Rewrite()


def cited_name(source: str) -> str:
    """Return the name that clients see for a document. An absolute path is cut to its last part, so that no folder is
    revealed.
    """
    return source.rsplit("/", 1)[-1] if source.startswith("/") else source


class Chunk(Struct, frozen=True):
    """A piece of a document. `start` and `end` are character positions in the document's text.

    `score` is the similarity to the query. A higher score is better.
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
    placement: str = ""
    """A line by a model that places the chunk in its document. It is indexed, and never part of a prompt."""

    @property
    def cited(self) -> str:
        """The name of the document in prompts and in answers to clients."""
        return cited_name(self.source)


class ContextPlan(Struct, frozen=True):
    """How the prompt was made to fit the window, and what was left out."""

    strategy: str = "direct"
    window_tokens: int = 0
    prompt_tokens: int = 0
    dropped_turns: int = 0
    reach_tokens: int = 0
    """The length to which positions are stretched, as a number of tokens for prompt and answer together. All calls of
    an exchange use the same length. 0 if positions are not stretched.
    """

    said: str = ""
    """A short text that tells the client what was left out, condensed or read in parts. "" if there is nothing to tell.
    """

    DIRECT: ClassVar["ContextPlan"]


ContextPlan.DIRECT = ContextPlan()


class TextPiece(Struct, frozen=True):
    """A piece of a text. `gap` is the white space between this piece and the next. If the piece continues a table,
    `lead` is the title row of the table.
    """

    text: str
    gap: str = ""
    lead: str = ""


class PiecePlan(Struct, frozen=True):
    """A plan to transform a long text piece by piece. The client's message consists of `before`, the pieces with their
    gaps, and `after`.

    `note` is put before each piece in the message for the piece. In `note`, `{n}` stands for the number of the piece
    and `{of}` for the number of pieces. `lead_note` introduces the title row of a table.
    """

    pieces: tuple[TextPiece, ...]
    before: str
    after: str
    note: str
    lead_note: str
    answer_tokens: int
    """The maximum number of tokens of the answer to one piece, if the client sets no limit."""
    at_once: int
    """The number of pieces that are processed at the same time."""
    spare_calls: int = 0
    """The number of calls that are allowed in addition to one call for each piece. Second tries use these calls, and so
    do pieces that are transformed in halves.
    """

    def note_for(self, piece: TextPiece, number: int) -> str:
        """Return the note before a piece. `number` is the index of the piece, counted from 0."""
        note = self.note.replace("{n}", str(number + 1)).replace("{of}", str(len(self.pieces)))
        lead = f"{self.lead_note}\n{piece.lead}\n\n" if piece.lead else ""
        return f"{note}\n\n{lead}"


class Target(Struct, frozen=True):
    """A backend that can answer, and the name of the model at that backend.

    `window_tokens` is the number of tokens, for prompt and answer together, that the model handles well. `longer` is a
    target with a longer window: the same engine with stretched positions, or another deployment of the model. `repeat`
    tells whether a request may be sent again after the backend accepted it.
    """

    backend: str
    model: str
    window_tokens: int = 0
    longer: "Target | None" = None
    repeat: bool = False
    hedge_s: float = 0.0
    """If there is no answer within this time in seconds, the request is also sent to the next target. 0 turns
    this off.
    """

    def stretches(self, other: "Target") -> bool:
        """Whether this target is the engine of `other` with stretched positions."""
        return (self.backend, self.model) == (other.backend, other.model)


class Call(Struct, frozen=True):
    """A model call whose answer the client does not get.

    `purpose` is `refine`, `slots`, the name of a template's first call, `sample`, `retry` or `judge`. Token counts are
    -1 if the backend did not report them.
    """

    purpose: str
    backend: str = ""
    model: str = ""
    prompt_tokens: int = -1
    completion_tokens: int = -1
    took_us: int = 0
    error: str = ""


class Note(Struct, frozen=True):
    """One decision of a stage, its reason, and the time that the stage took."""

    stage: str
    decision: str
    reason: str = ""
    data: Mapping[str, Any] = {}
    took_us: int = 0


class Drawn(Struct, frozen=True):
    """One of several answers to a prompt. `number` identifies the answer. `tokens` is the number of tokens of prompt
    and answer together.
    """

    number: int
    text: str
    tokens: int = 0


class AnswerDraws(Protocol):
    """Draws several answers to one exchange, and counts their cost. The methods raise `RequestError`."""

    async def draw(self, purpose: str, follow: Sequence[Turn] = (), temperature: float | None = None) -> Drawn:
        """Draw one more answer. `follow` holds turns that come after the prompt."""
        ...

    async def judge(self, turns: Sequence[Turn], model: str = "") -> Drawn:
        """Ask `model` a question that the gateway wrote. If `model` is "", the model of the exchange is asked."""
        ...


class ChosenAnswer(Struct, frozen=True):
    """The number of the answer that the client gets, and notes on how this answer was chosen."""

    number: int
    notes: tuple["Note", ...] = ()


class Procedure(Protocol):
    """What a technique does after the prompt is sent: draw samples, check the answer, or ask again."""

    @property
    def several(self) -> bool:
        """Whether the procedure may need more than one call."""
        ...

    @property
    def marker(self) -> str:
        """The text at the beginning of the line with the final answer. "" if the answer is not separated from its
        reasoning.
        """
        ...

    async def settle(self, exchange: "Exchange", asking: AnswerDraws) -> ChosenAnswer: ...


class Exchange(Struct, frozen=True):
    """One request with all decisions about it. Every field has a neutral default, so any stage can be left out."""

    id: str
    ask: Ask
    key: ClientKey = ClientKey.ANONYMOUS
    mode: Mode = Mode.ON
    dry: bool = False
    """Whether this is a preview, for which no model is called."""
    tell: Callable[[str], Awaitable[None]] | None = None
    """Sends a progress message to the client during slow work. None if the stream to the client cannot carry progress
    messages.
    """
    job: str = ""
    """The name of the offline job that makes this request. "" for a client's request."""
    started_s: float = 0.0
    trials: tuple[CanaryTrial, ...] = ()
    """The experiments that apply to this route and key."""
    untouchable: str | None = None
    """The reason why the prompt must not be changed. "" if it may be changed. None until the first stage has checked
    the prompt.
    """
    split: Split | None = None
    """The query, split into instruction and text. None until a stage has split the query."""
    recognised: RecognisedPrompt = RecognisedPrompt.NONE
    """The known prompt of an application from which the request was built, or `RecognisedPrompt.NONE`."""
    intent: Intent = Intent.UNKNOWN
    turns: tuple[Turn, ...] | None = None
    """The changed prompt, or None if no stage has changed the prompt."""
    sampling: Sampling = Sampling.NONE
    rewrite: Rewrite = Rewrite.NONE
    proven: tuple[str, ...] | None = None
    """The models on the route that measurably gain from the rewritten prompt, by their names at the backends. All other
    models get the client's prompt. None if the rewrite may be used without a measurement.
    """
    procedure: Procedure | None = None
    chunks: tuple[Chunk, ...] = ()
    searched: FileSearchResult | None = None
    """The result of OpenAI's tool `file_search`. None if the request does not use the tool, or if the backend runs the
    search.
    """
    mcp: McpOffer | None = None
    """The tools of MCP servers that the model may call, and that the gateway runs. None if there are none, or if the
    backend runs them.
    """
    plan: ContextPlan = ContextPlan.DIRECT
    pieces: PiecePlan | None = None
    """The plan to transform a long text piece by piece. The answers to the pieces are joined into one answer. None if
    the text is not split.
    """
    composed: str = ""
    """The answer, if code has composed it from answers about parts of a long text. The model is then not called
    again.
    """
    route: tuple[Target, ...] = ()
    own_route: tuple[Target, ...] = ()
    """The targets of the model that the client names, if another model comes first in `route`."""
    spare: bool = False
    """Whether other targets are tried after all targets in `route` have failed. These other targets get another
    prompt.
    """
    calls: tuple[Call, ...] = ()
    """The model calls that the gateway made to prepare the prompt or to improve the answer."""
    notes: tuple[Note, ...] = ()

    @property
    def prompt(self) -> tuple[Turn, ...]:
        """The turns as the stages have left them so far."""
        return self.ask.turns if self.turns is None else self.turns

    @property
    def sent(self) -> tuple[Turn, ...]:
        """The turns to send. In shadow mode, these are the client's turns.

        Two kinds of passages are sent even if the mode does not improve prompts, since the client itself asks for them.
        Results of `file_search` are sent in every mode. Passages of named collections are sent in the mode `off`, and
        in every mode if the client requires them.
        """
        return self.turns if self.turns is not None and self._improves else self.ask.turns

    @property
    def windows(self) -> tuple[str, ...]:
        """The passages that the engine reads in parallel (NBCE). Empty if the engine does not read passages in
        parallel.
        """
        controls = self.ask.controls
        reads_parallel = controls.strategy in ("", "nbce") and self.plan.strategy in ("direct", "nbce")
        return controls.contexts if reads_parallel else ()

    @property
    def changed(self) -> bool:
        """Whether `sent` differs from the client's turns."""
        return self.ask.spoken_for or (self.turns is not None and self._improves)

    @property
    def _improves(self) -> bool:
        if self.mode.changes or self.searched is not None:
            return True
        if self.ask.controls.collections_required and self.chunks:
            return True
        return self.mode is Mode.OFF and bool(self.chunks)

    @property
    def may_call(self) -> bool:
        """Whether a stage may call a model to prepare the prompt. In a preview or in shadow mode, no stage may
        do this.
        """
        return self.mode.changes and not self.dry

    def noted(self, stage: str, decision: str, reason: str = "", data: Mapping[str, Any] | None = None) -> "Exchange":
        return replace(self, notes=(*self.notes, Note(stage, decision, reason, data or {})))
