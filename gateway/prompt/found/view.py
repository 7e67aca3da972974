"""Shows a found prompt: its fixed text with marks for the parts, and figures about its use."""

from collections.abc import Iterator, Sequence
from difflib import unified_diff
from typing import Any, Literal

from msgspec import Struct

from gateway.prompt.found.contract import AnswerContract
from gateway.prompt.found.found_prompt import FoundPrompt, PartExamples, PromptUse, PromptVersion
from gateway.prompt.found.shape import TextShape
from gateway.records.policy import RecordPolicy
from gateway.settings.tables import Settings

SLOT = "{{{{ {} }}}}"


class ShownMessage(Struct, frozen=True):
    """A message of a prompt's skeleton. `{{ part1 }}` and the like stand for the parts."""

    role: str
    text: str


class ShownPart(Struct, frozen=True):
    """A part: its name, its guessed type, and some of its values."""

    name: str
    type: str
    longest: int
    values: tuple[str, ...]


class ShownUse(Struct, frozen=True):
    """The use of a prompt. `tokens` and `ms` are means per request."""

    requests: int
    users: int
    days: int
    first_s: float
    last_s: float
    models: dict[str, int]
    tokens: float
    """The mean number of prompt and answer tokens of a request."""
    cost: float
    """The cost of all requests, at the prices of `[jobs] prices`."""
    ms: float
    score: float | None
    """The mean feedback score, or None if there is none."""
    scores: int
    failed: int


class ShownPrompt(Struct, frozen=True):
    """A found prompt as the commands and the API show it."""

    id: str
    name: str
    key: str
    endpoint: str
    state: str
    versions: tuple[int, ...]
    use: ShownUse
    version: int
    messages: tuple[ShownMessage, ...] = ()
    parts: tuple[ShownPart, ...] = ()
    ambiguous: int = 0
    """The number of this version's sampled requests whose values can be read in more than one way."""
    unlocked: tuple[str, ...] = ()
    """The fixed texts that versions of the template may change."""
    contract: AnswerContract | None = None
    """The contract of the answers, or None if there is none."""
    contract_by: Literal["", "recorded answers", "a person"] = ""
    """Who has written the contract."""
    contract_problem: str = ""
    """The reason why the file of the contract cannot be used, or ""."""


def part_names(version: PromptVersion) -> list[str]:
    """Return the names of the parts, in the order of the text."""
    count = sum(shape.parts for shape in version.shapes)
    given = [part.name for part in version.parts[:count]]
    given += [""] * (count - len(given))
    return [name or f"part{number + 1}" for number, name in enumerate(given)]


def messages(version: PromptVersion) -> tuple[ShownMessage, ...]:
    """Return the system message and the last user message, with marks for the parts."""
    names = iter(part_names(version))
    shown = [("system", version.system)] if version.system is not None else []
    shown.append(("user", version.last))
    return tuple(ShownMessage(role, _with_marks(shape, names)) for role, shape in shown if shape is not None)


def _with_marks(shape: TextShape, names: Iterator[str]) -> str:
    return shape.text([SLOT.format(next(names)) for _ in range(shape.parts)])


def parts(version: PromptVersion, *, values: bool) -> tuple[ShownPart, ...]:
    """Return the parts. If `values` is False, the parts have no example values; the record policy may forbid showing
    texts.
    """
    known = [*version.parts, *[PartExamples()] * (len(part_names(version)) - len(version.parts))]
    return tuple(
        ShownPart(name, part.type, part.longest, part.values if values else ())
        for name, part in zip(part_names(version), known, strict=False)
    )


def shown_use(use: PromptUse) -> ShownUse:
    count = max(1, use.requests)
    return ShownUse(
        use.requests,
        use.users,
        use.days,
        use.first_s,
        use.last_s,
        use.models,
        round((use.prompt_tokens + use.completion_tokens) / count, 1),
        round(use.cost, 6),
        round(use.total_us / count / 1000, 1),
        round(use.score / use.scores, 3) if use.scores else None,
        use.scores,
        use.failed,
    )


def listed(prompt: FoundPrompt) -> ShownPrompt:
    """Return a prompt without its texts."""
    numbers = tuple(version.number for version in prompt.versions)
    return ShownPrompt(
        prompt.id,
        prompt.name,
        prompt.key,
        prompt.endpoint,
        prompt.state.value,
        numbers,
        shown_use(prompt.use),
        prompt.newest.number,
    )


def shown(prompt: FoundPrompt, version: PromptVersion, *, values: bool) -> ShownPrompt:
    """Return a prompt with the texts of one version, and the use of that version."""
    fields: dict[str, Any] = {name: getattr(listed(prompt), name) for name in ShownPrompt.__struct_fields__}
    fields |= {"use": shown_use(version.use), "version": version.number, "ambiguous": version.ambiguous}
    return ShownPrompt(
        **{**fields, "messages": messages(version), "unlocked": prompt.unlocked, "parts": parts(version, values=values)}
    )


def difference(old: PromptVersion, new: PromptVersion) -> list[str]:
    """Return the lines of a unified diff of two versions."""
    return list(unified_diff(_lines(old), _lines(new), f"version {old.number}", f"version {new.number}", lineterm=""))


def _lines(version: PromptVersion) -> Sequence[str]:
    return [line for message in messages(version) for line in (f"# {message.role}", *message.text.split("\n"))]


def may_show_values(settings: Settings, key: str) -> bool:
    """Whether the record policy of a key allows showing what its users wrote."""
    table = settings.keys.get(key)
    return ((table.record if table else "") or settings.records.policy) == RecordPolicy.FULL
