"""Fixed text of a found prompt is only added to. Its owner may unlock some of it."""

from collections.abc import Collection, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import ForewordError
from gateway.prompt.found.adopt import HISTORY, NEAREST, FoundTemplate, identity
from gateway.prompt.found.found_prompt import FoundPrompt, PromptVersion


class WrongTemplate(ForewordError):
    """The file is not a version of the prompt's template. The message says what to change."""


class FixedText(Struct, frozen=True):
    """One fixed text of a prompt. `number` counts from 1, in the order of the prompt."""

    number: int
    role: str
    text: str
    is_unlocked: bool


def fixed_texts(prompt: FoundPrompt, version: PromptVersion | None = None) -> list[FixedText]:
    """Return the fixed texts of a version, by default the newest."""
    version = version or prompt.newest
    roles = ["user"] if version.system is None else ["system", "user"]
    texts = [
        (role, piece) for role, shape in zip(roles, version.shapes, strict=True) for piece in shape.pieces if piece
    ]
    return [
        FixedText(number, role, text, text in prompt.unlocked) for number, (role, text) in enumerate(texts, start=1)
    ]


def with_locks(prompt: FoundPrompt, unlock: Collection[int], lock: Collection[int]) -> FoundPrompt:
    """Unlock and lock fixed texts of the newest version by their numbers. Raises `WrongTemplate`."""
    texts = {one.number: one.text for one in fixed_texts(prompt)}
    wrong = sorted({*unlock, *lock} - texts.keys())
    if wrong:
        raise WrongTemplate(f"{prompt.name} has no fixed text {wrong[0]}; its texts have the numbers 1 to {len(texts)}")
    shut = {texts[number] for number in lock}
    opened = dict.fromkeys([*prompt.unlocked, *(texts[number] for number in sorted(unlock))])
    return replace(prompt, unlocked=tuple(text for text in opened if text not in shut))


def refuse_changes(template: FoundTemplate, before: FoundTemplate, prompt: FoundPrompt | None = None) -> None:
    """Raise `WrongTemplate` if a template loses a slot, or a frozen text that its owner has not unlocked.

    `before` is the version before. With `prompt`, the application's own text is compared too.
    """
    if not template.messages or template.messages[-1].role != "user" or _histories(template) != 1:
        raise WrongTemplate("it needs the sections # history and # user, in this order, and # user as the last one")
    _refuse_wrong_examples(template)
    slots, known = slots_of(template), slots_of(before)
    if sorted(slots) != sorted(known):
        wrong = ", ".join(sorted({*slots} ^ {*known})) or "a slot that occurs twice"
        raise WrongTemplate(f"its slots must be those of version {before.version}, each once; look at: {wrong}")
    unlocked = prompt.unlocked if prompt is not None else ()
    for source in (before, *_own_text(prompt, template)):
        needed = [pair for pair in frozen_texts(source) if pair[1] not in unlocked]
        if not _is_subsequence(needed, all_texts(template)):
            raise WrongTemplate(
                "a frozen text was changed, moved or removed; add text beside it, or let its owner unlock it "
                "(foreword prompts unlock), or use --unlock"
            )


def _refuse_wrong_examples(template: FoundTemplate) -> None:
    nearest, places = template.nearest, sum(message.role == NEAREST for message in template.messages)
    if nearest is None and not places:
        return
    if nearest is None or places != 1:
        raise WrongTemplate(
            "the section # nearest stands for the nearest examples, once; "
            "`foreword jobs run optimise` makes a version that has it"
        )
    if nearest.part not in slots_of(template) or nearest.k < 1:
        raise WrongTemplate("its nearest examples need a `part` that is one of its slots, and a `k` of 1 or more")
    if not nearest.rows or any(len(row.values) != len(template.slots) for row in nearest.rows):
        raise WrongTemplate("its nearest examples need rows, each with a value for every slot")


def _own_text(prompt: FoundPrompt | None, template: FoundTemplate) -> list[FoundTemplate]:
    versions = prompt.versions if prompt is not None else ()
    return [identity(prompt, one) for one in versions if prompt is not None and one.number == template.base]


def _histories(template: FoundTemplate) -> int:
    return sum(message.role == HISTORY for message in template.messages)


def slots_of(template: FoundTemplate) -> list[str]:
    return [part.slot for message in template.messages for part in message.parts if part.slot]


def frozen_texts(template: FoundTemplate) -> list[tuple[str, str]]:
    return [(message.role, part.text) for message in template.messages for part in message.parts if part.frozen]


def all_texts(template: FoundTemplate) -> list[tuple[str, str]]:
    return [(message.role, part.text) for message in template.messages for part in message.parts if part.text]


def _is_subsequence(short: Sequence[tuple[str, str]], long: Sequence[tuple[str, str]]) -> bool:
    rest = iter(long)
    return all(one in rest for one in short)
