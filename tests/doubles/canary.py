"""Records of a found prompt with a version on trial: who answered, and what."""

from collections.abc import Callable
from random import Random

from msgspec.structs import replace

from gateway.ask import Turn
from gateway.exchange import Arm, Rewrite
from gateway.prompt.found.adopt import identity
from gateway.prompt.found.found_prompt import FoundPrompt, PromotedVersion, PromptState, PromptUse, PromptVersion
from gateway.prompt.found.shape import OPEN, TextShape
from gateway.prompt.found.store import FoundFile, change_found, found_path
from gateway.prompt.found.templates import write_template
from gateway.records.feedback import Feedback
from gateway.records.schema import ExchangeRecord
from gateway.settings.tables import Settings
from tests.doubles.recorded import BEGAN, a_record

SYSTEM = "You sort tickets of a bank. Answer with one label: card, transfer or loan."
LABELS = ("card", "loan", "transfer")
PROMPT = FoundPrompt(
    "p-0123456789",
    "triage",
    "app",
    "chat/completions",
    (PromptVersion(1, TextShape((SYSTEM,)), OPEN, PromptUse(100, 5, 3)),),
    PromptState.ADOPTED,
)
Say = Callable[[Random], str]


def label(draw: Random) -> str:
    return draw.choice(LABELS)


def breaking(share: float) -> Say:
    """Return what a version says that breaks the contract in this share of its answers."""
    return lambda draw: f"I am {draw.random():.4f} sure: a card." if draw.random() < share else label(draw)


def adopted(settings: Settings, share: float = 0.0) -> FoundPrompt:
    """Write the adopted prompt, with version 2 on trial if `share` is positive."""
    write_template(settings.data_folder, identity(PROMPT))
    write_template(settings.data_folder, replace(identity(PROMPT), version=2))
    prompt = replace(PROMPT, spoken=PromotedVersion(2, share, BEGAN) if share else None)
    change_found(found_path(settings.data_folder), lambda _: FoundFile((prompt,)))
    return prompt


def answered(number: int, answer: str, arm: Arm = Arm.NONE) -> ExchangeRecord:
    """Return the record of one request of the prompt."""
    plain = a_record(number, f"ticket {number}", answer)
    rewrite = Rewrite(f"found:{PROMPT.name}", 2, "found", arm=arm) if arm is not Arm.NONE else Rewrite.NONE
    turns = Turn("system", SYSTEM, 0), Turn("user", f"ticket {number}", 1)
    return replace(
        plain,
        turns=turns,
        key=PROMPT.key,
        user=f"user-{number % 7}",
        recognised=f"{PROMPT.id}@1",
        rewrite=rewrite,
        changed=arm is Arm.CANARY,
    )


def trial(
    canary: Say, stable: Say, count: int, share: float, draw: Random, first: int = 0, rated: float = 1.0
) -> tuple[list[ExchangeRecord], list[Feedback]]:
    """Return records until the canary has given `count` answers, and feedback that likes the canary better. `rated` is
    the share of answers with feedback."""
    records: list[ExchangeRecord] = []
    opinions = []
    own = 0
    while own < count:
        arm = Arm.CANARY if draw.random() < share else Arm.HELD
        own += arm is Arm.CANARY
        records.append(answered(first + len(records), (canary if arm is Arm.CANARY else stable)(draw), arm))
        if rated < 1 and draw.random() >= rated:
            continue
        right = 0.9 if arm is Arm.CANARY else 0.7
        opinions.append(Feedback(records[-1].id, score=float(draw.random() < right)))
    return records, opinions
