"""Proposes versions of a found prompt, by rules that only add to it.

A rule adds worked examples, the labels, the form or a line, to the system message or to the last message. The examples
are fixed, or those nearest to each request. Frozen text and parts stay as they are. Only text that its owner has
unlocked may be left out.
"""

from collections.abc import Iterator, Sequence
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from gateway.prompt.found.adopt import (
    HISTORY,
    NEAREST,
    ExampleRow,
    FoundTemplate,
    NearestExamples,
    SkeletonPart,
    TemplateMessage,
)
from gateway.prompt.found.contract import AnswerContract
from gateway.prompt.found.found_prompt import FoundPrompt
from gateway.prompt.found.frozen import all_texts, fixed_texts
from gateway.prompt.found.shown_contract import claims
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.search.propose import LINES

MOST_LABELS = 40
LONGEST_SHOT = 1500
COUNTS = (8, 4, 16)
NEAREST_COUNTS = (6, 3)
COMPARED_PARTS = 2
"""The nearest examples are tried by so many parts."""
MOST_EXAMPLES = 500
"""A version stores at most so many examples to choose from."""


class FoundCandidate(Struct, frozen=True):
    """A version that may replace the present one. `removes` is true if it leaves out unlocked text. `why` is the
    critic's explanation.
    """

    by: str
    template: FoundTemplate
    removes: bool = False
    why: str = ""


class FoundMaterial(Struct, frozen=True):
    """The input of the rules. `rows` are the rows to learn from; their requests and right answers become examples."""

    prompt: FoundPrompt
    rows: tuple[DatasetRow, ...]
    contract: AnswerContract | None
    labels: tuple[str, ...]
    nearest: bool
    """Whether an embedding model is available to find the nearest examples."""


def candidates(base: FoundTemplate, known: FoundMaterial, draw: Random) -> list[FoundCandidate]:
    """Return the changes of a version that the rules propose, without repetitions. Those that help most often come
    first.
    """
    made: dict[FoundTemplate, FoundCandidate] = {}
    for candidate in _proposals(base, known, draw):
        if candidate.template != base:
            made.setdefault(candidate.template, candidate)
    return list(made.values())


def _proposals(base: FoundTemplate, known: FoundMaterial, draw: Random) -> Iterator[FoundCandidate]:
    lines = dict(_lines(known.contract, known.labels))
    near = list(_nearest(base, known))
    for name, examples in near:
        yield FoundCandidate(name, with_nearest(base, examples))
    shown = [shot for count in COUNTS if (shot := balanced(known.rows, count, draw))]
    for shots in shown:
        yield FoundCandidate(f"{len(shots)} examples as turns", with_turns(base, shots))
    for name, examples in near[:1]:
        for also, line in lines.items():
            yield FoundCandidate(f"{name}, and {also}", with_nearest(with_line(base, line, "user"), examples))
    for name, line in lines.items():
        yield FoundCandidate(f"{name} in the last message", with_line(base, line, "user"))
        yield FoundCandidate(f"{name} in the system message", with_line(base, line, "system"))
    if shown:
        yield FoundCandidate("examples in the system message", with_line(base, _listed(shown[0]), "system"))
        for name, line in lines.items():
            both = with_turns(with_line(base, line, "user"), shown[0])
            yield FoundCandidate(f"{len(shown[0])} examples as turns, and {name}", both)
        yield FoundCandidate("examples as turns in another order", with_turns(base, shown[0][::-1]))
    for text in fixed_texts(known.prompt):
        if text.is_unlocked:
            yield FoundCandidate(f"without text {text.number}", without(base, text.text), removes=True)


def _nearest(base: FoundTemplate, known: FoundMaterial) -> Iterator[tuple[str, NearestExamples]]:
    """Yield ways to choose the nearest examples, by the parts of the last message. Long parts tell most."""
    rows = as_examples(known.rows)
    if not known.nearest or len(rows) < 2 * NEAREST_COUNTS[0]:
        return
    chars = dict.fromkeys([part.slot for part in base.messages[-1].parts if part.slot], 0)
    for row in rows:
        for name, value in base.named(row.values).items():
            if name in chars:
                chars[name] += len(value)
    parts = sorted((name for name in chars if chars[name]), key=lambda name: -chars[name])[:COMPARED_PARTS]
    for part in parts:
        for count in NEAREST_COUNTS:
            yield f"the nearest {count} examples by {part}", NearestExamples(part, count, rows)
    if 1 < len(known.labels) <= NEAREST_COUNTS[0] and parts:
        name = f"the nearest {NEAREST_COUNTS[0]} examples by {parts[0]}, as many of each answer"
        yield name, NearestExamples(parts[0], NEAREST_COUNTS[0], rows, balanced=True)


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
    if any(line in text for _, text in all_texts(base)):
        return base
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
        for role, text in (("user", base.own_message(base.named(row.parts))), ("assistant", row.wanted))
    ]
    return replace(base, messages=(*head, *turns, *base.messages[at:]))


def with_nearest(base: FoundTemplate, nearest: NearestExamples) -> FoundTemplate:
    """Let each request get its nearest examples as turns. They stand right before the last message, behind all that is
    the same in the next request: a provider may have cached that.
    """
    others = [message for message in base.messages[:-1] if message.role != NEAREST]
    return replace(base, messages=(*others, TemplateMessage(NEAREST), base.messages[-1]), nearest=nearest)


def as_examples(rows: Sequence[DatasetRow]) -> tuple[ExampleRow, ...]:
    """Return the rows that can be examples, without repetitions, the newest of them if they are many."""
    newest = sorted(usable(rows), key=lambda row: -row.time_s)[:MOST_EXAMPLES]
    return tuple({row.parts: ExampleRow(row.parts, row.wanted) for row in newest}.values())


def with_all_rows(template: FoundTemplate, rows: Sequence[DatasetRow]) -> FoundTemplate:
    """Return a version that chooses its nearest examples from all rows with a right answer."""
    if template.nearest is None:
        return template
    return replace(template, nearest=replace(template.nearest, rows=as_examples(rows)))


def without(base: FoundTemplate, text: str) -> FoundTemplate:
    messages = (
        replace(message, parts=tuple(part for part in message.parts if part.text != text)) for message in base.messages
    )
    return replace(base, messages=tuple(messages))


def balanced(rows: Sequence[DatasetRow], count: int, draw: Random) -> tuple[DatasetRow, ...]:
    """Return up to `count` rows in random order, with as many different answers as possible."""
    by_answer: dict[str, list[DatasetRow]] = {}
    alone = usable(rows)
    for row in draw.sample(alone, len(alone)):
        by_answer.setdefault(row.wanted, []).append(row)
    chosen: list[DatasetRow] = []
    while len(chosen) < count and any(by_answer.values()):
        for own in by_answer.values():
            if own and len(chosen) < count:
                chosen.append(own.pop())
    draw.shuffle(chosen)
    return tuple(chosen)


def usable(rows: Sequence[DatasetRow]) -> list[DatasetRow]:
    """Return the rows that can be examples: not too long, and without a conversation."""
    short = [row for row in rows if row.wanted and len(row.query) + len(row.wanted) <= LONGEST_SHOT]
    return [row for row in short if row.request.count('"role":"assistant"') == 0]


def _listed(shots: Sequence[DatasetRow]) -> str:
    return "\n\n".join(["Examples:", *(f"Input: {row.query}\nAnswer: {row.wanted}" for row in shots)])
