"""Proposes versions of a found prompt, by rules that only add to it.

A rule adds worked examples, the labels, the form or a line, to the system message or to the last message. Frozen text
and parts stay as they are. Only text that its owner has unlocked may be left out.
"""

from collections.abc import Iterator, Sequence
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from gateway.prompt.found.adopt import HISTORY, FoundTemplate, SkeletonPart, TemplateMessage
from gateway.prompt.found.contract import AnswerContract
from gateway.prompt.found.found_prompt import FoundPrompt
from gateway.prompt.found.frozen import fixed_texts
from gateway.prompt.found.shown_contract import claims
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.search.propose import LINES

MOST_LABELS = 40
LONGEST_SHOT = 1500
COUNTS = (8, 4, 16)


class FoundCandidate(Struct, frozen=True):
    """A version that may replace the present one. `removes` is true if it leaves out unlocked text."""

    by: str
    template: FoundTemplate
    removes: bool = False


def candidates(
    prompt: FoundPrompt,
    base: FoundTemplate,
    rows: Sequence[DatasetRow],
    contract: AnswerContract | None,
    labels: Sequence[str],
    draw: Random,
) -> list[FoundCandidate]:
    """Return the proposals, without repetitions. `rows` are the rows to learn from."""
    made: dict[FoundTemplate, FoundCandidate] = {}
    for candidate in _proposals(prompt, base, rows, contract, labels, draw):
        if candidate.template != base:
            made.setdefault(candidate.template, candidate)
    return list(made.values())


def _proposals(
    prompt: FoundPrompt,
    base: FoundTemplate,
    rows: Sequence[DatasetRow],
    contract: AnswerContract | None,
    labels: Sequence[str],
    draw: Random,
) -> Iterator[FoundCandidate]:
    shown = [shot for count in COUNTS if (shot := balanced(rows, count, draw))]
    for shots in shown:
        yield FoundCandidate(f"{len(shots)} examples as turns", with_turns(base, shots))
    lines = dict(_lines(contract, labels))
    for name, line in lines.items():
        yield FoundCandidate(f"{name} in the last message", with_line(base, line, "user"))
        yield FoundCandidate(f"{name} in the system message", with_line(base, line, "system"))
    if shown:
        yield FoundCandidate("examples in the system message", with_line(base, _listed(shown[0]), "system"))
        for name, line in lines.items():
            both = with_turns(with_line(base, line, "user"), shown[0])
            yield FoundCandidate(f"{len(shown[0])} examples as turns, and {name}", both)
        yield FoundCandidate("examples as turns in another order", with_turns(base, shown[0][::-1]))
    for text in fixed_texts(prompt):
        if text.is_unlocked:
            yield FoundCandidate(f"without text {text.number}", without(base, text.text), removes=True)


def _lines(contract: AnswerContract | None, labels: Sequence[str]) -> Iterator[tuple[str, str]]:
    words = LINES["en"]
    if labels and len(labels) <= MOST_LABELS:
        yield "the labels", words["labels"].format(labels=", ".join(labels))
    elif contract is not None and contract.json_schema is not None:
        shape = next(claims(replace(contract, calls="", tools={})))
        yield "the form", f"Answer with {shape}. A question mark marks an optional key. Write nothing else."
    yield "only the answer", words["only"]


def with_line(base: FoundTemplate, line: str, role: str) -> FoundTemplate:
    """Add a line at the end of the system message, or of the last user message. A system message is made if there is
    none.
    """
    messages = list(base.messages)
    places = [at for at, message in enumerate(messages) if message.role == role]
    if not places:
        return replace(base, messages=(TemplateMessage(role, (SkeletonPart(text=line, frozen=False),)), *messages))
    at = places[0] if role == "system" else places[-1]
    text = "".join(part.text for part in messages[at].parts[-1:])
    mark = "\n" if text.endswith("\n") else "\n\n"
    added = SkeletonPart(text=f"{mark}{line}", frozen=False)
    messages[at] = replace(messages[at], parts=(*messages[at].parts, added))
    return replace(base, messages=tuple(messages))


def with_turns(base: FoundTemplate, shots: Sequence[DatasetRow]) -> FoundTemplate:
    """Add worked examples as turns, behind the system message, which a provider may cache, and before the conversation.
    Earlier examples are replaced.
    """
    at = next(number for number, message in enumerate(base.messages) if message.role == HISTORY)
    head = [message for message in base.messages[:at] if message.role == "system"]
    turns = [
        TemplateMessage(role, (SkeletonPart(text=text, frozen=False),))
        for row in shots
        for role, text in (("user", message_of(base, row)), ("assistant", row.wanted))
    ]
    return replace(base, messages=(*head, *turns, *base.messages[at:]))


def message_of(base: FoundTemplate, row: DatasetRow) -> str:
    """Return the last message that the application sent for a row: its fixed text and parts, without additions."""
    values = {slot.name: value for slot, value in zip(base.slots, row.parts, strict=True)}
    parts = base.messages[-1].parts
    return "".join(values[part.slot] if part.slot else part.text for part in parts if part.slot or part.frozen)


def without(base: FoundTemplate, text: str) -> FoundTemplate:
    messages = (
        replace(message, parts=tuple(part for part in message.parts if part.text != text)) for message in base.messages
    )
    return replace(base, messages=tuple(messages))


def balanced(rows: Sequence[DatasetRow], count: int, draw: Random) -> tuple[DatasetRow, ...]:
    """Return up to `count` rows in random order, with as many different answers as possible. Requests with a
    conversation are no examples.
    """
    by_answer: dict[str, list[DatasetRow]] = {}
    usable = [row for row in rows if row.wanted and len(row.query) + len(row.wanted) <= LONGEST_SHOT]
    alone = [row for row in usable if row.request.count('"role":"assistant"') == 0]
    for row in draw.sample(alone, len(alone)):
        by_answer.setdefault(row.wanted, []).append(row)
    chosen: list[DatasetRow] = []
    while len(chosen) < count and any(by_answer.values()):
        for own in by_answer.values():
            if own and len(chosen) < count:
                chosen.append(own.pop())
    draw.shuffle(chosen)
    return tuple(chosen)


def _listed(shots: Sequence[DatasetRow]) -> str:
    return "\n\n".join(["Examples:", *(f"Input: {row.query}\nAnswer: {row.wanted}" for row in shots)])
