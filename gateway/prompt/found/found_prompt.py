"""A prompt that was found in the traffic of a key, with its versions. Each version has the shapes of its texts and
figures of its use.
"""

from collections.abc import Sequence
from enum import StrEnum
from hashlib import sha256

from msgspec import Struct
from msgspec.structs import replace

from gateway.prompt.found.shape import OPEN, TextShape


class PromptState(StrEnum):
    """What the operator has decided about a found prompt."""

    FOUND = "found"  # nothing yet
    ADOPTED = "adopted"  # the prompt has a template, whose version 1 is the identity
    IGNORED = "ignored"  # the prompt is neither listed nor recognised


class PartExamples(Struct, frozen=True):
    """The guessed type of a part, and some of its values. If the record policy forbids storing texts, there are no
    values.
    """

    type: str = "text"
    values: tuple[str, ...] = ()
    longest: int = 0
    """The maximum length of a value in characters."""
    name: str = ""
    """The name that an imported file gives to the part, or ""."""


class PromptUse(Struct, frozen=True):
    """The use of a prompt, summed over its requests. `first_s` and `last_s` are seconds since 1970."""

    requests: int = 0
    users: int = 0
    days: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    models: dict[str, int] = {}
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    total_us: int = 0
    scores: int = 0
    """The number of exchanges with a feedback score."""
    score: float = 0.0
    """The sum of the scores."""
    failed: int = 0

    def plus(self, other: "PromptUse") -> "PromptUse":
        """Add the use in a later window. Users are counted separately in each window, so the larger number of users is
        kept.
        """
        models = {
            name: self.models.get(name, 0) + other.models.get(name, 0) for name in {**self.models, **other.models}
        }
        spans = [use for use in (self, other) if use.requests]
        return PromptUse(
            self.requests + other.requests,
            max(self.users, other.users),
            self.days + other.days,
            min((use.first_s for use in spans), default=0.0),
            max((use.last_s for use in spans), default=0.0),
            models,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost + other.cost,
            self.total_us + other.total_us,
            self.scores + other.scores,
            self.score + other.score,
            self.failed + other.failed,
        )


class PromptVersion(Struct, frozen=True):
    """One deployed version of an application's prompt.

    `system` is the shape of the system message, or None without one. `last` is the shape of the last user message.
    Between the two is the conversation so far, which may be anything.
    """

    number: int
    system: TextShape | None
    last: TextShape
    use: PromptUse = PromptUse()
    parts: tuple[PartExamples, ...] = ()
    """The parts of `system`, followed by the parts of `last`."""
    ambiguous: int = 0
    """The number of sampled requests whose values can be read in more than one way."""

    @property
    def shapes(self) -> tuple[TextShape, ...]:
        return (self.last,) if self.system is None else (self.system, self.last)

    @property
    def fixed_chars(self) -> int:
        return sum(shape.fixed_chars for shape in self.shapes)


class PromotedVersion(Struct, frozen=True):
    """The version of an adopted template that is sent in place of the identity. `share` is the share of the
    conversations that get this version.

    `growth` are the next shares, in their order. The job `watch` gives a version its next share after enough answers.
    """

    version: int
    share: float = 1.0
    since_s: float = 0.0
    growth: tuple[float, ...] = ()
    grown_s: float = 0.0
    """When the share grew last, in seconds since 1970."""
    beneath: int = 0
    """The version that all other conversations get, or 0 for the application's own text."""


class FoundPrompt(Struct, frozen=True):
    """A prompt that an application builds. The prompt was found in the traffic of one key, and is recognised only in
    requests of this key.
    """

    id: str
    name: str
    key: str
    endpoint: str
    versions: tuple[PromptVersion, ...]
    state: PromptState = PromptState.FOUND
    counted_s: float = 0.0
    """The time until which the prompt's use is counted, in seconds since 1970."""
    spoken: PromotedVersion | None = None
    """The template version that is sent to a share of the conversations. None if every request stays unchanged."""
    unlocked: tuple[str, ...] = ()
    """The fixed texts that versions of the template may change or leave out. The prompt's owner has unlocked them."""

    @property
    def newest(self) -> PromptVersion:
        return self.versions[-1]

    @property
    def use(self) -> PromptUse:
        use = PromptUse()
        for version in self.versions:
            use = use.plus(version.use)
        return use

    def with_version(self, version: PromptVersion) -> "FoundPrompt":
        """Add a version, or replace the version with the same number."""
        others = [one for one in self.versions if one.number != version.number]
        return replace(self, versions=tuple(sorted([*others, version], key=lambda one: one.number)))


def promoted(prompt: FoundPrompt, version: int, share: float, now_s: float) -> PromotedVersion:
    """Return the promotion of a version. If the share is not 1, all other conversations keep what everybody gets now:
    an earlier promoted version, or the application's own text.
    """
    before = prompt.spoken
    beneath = 0
    if before is not None and share < 1:
        beneath = before.version if before.share >= 1 else before.beneath
    return PromotedVersion(version, share, now_s, beneath=0 if beneath == version else beneath)


def prompt_id(key: str, endpoint: str, shapes: Sequence[TextShape | None]) -> str:
    """Return the id of a found prompt. The same prompt of the same key always has the same id."""
    text = "\x1e".join([key, endpoint, *("\x1f".join(shape.pieces if shape else ()) for shape in shapes)])
    return "p-" + sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:10]


def is_open(version: PromptVersion) -> bool:
    """Whether a version has no fixed text."""
    return version.system is None and version.last == OPEN
