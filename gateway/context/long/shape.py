"""Describes a long request: its task, what the task needs, and the text, which may consist of several passages."""

import re
from collections.abc import Sequence

from msgspec import Struct

from gateway.ask import Turn
from gateway.context.fence import language_of
from gateway.context.long.instruction import PASSAGE, TASK_CHARS, Instruction, instruction_of, is_plain
from gateway.context.long.wording import WORDINGS
from gateway.context.task.head import TaskKind, TaskVerdict, shipped

FEWEST_PASSAGES = 3
_RULE = re.compile(r"^[ \t]*(?:-{3,}|={3,}|\*{3,})[ \t]*$", re.MULTILINE)


class RequestShape(Struct, frozen=True):
    """The parts of the last user message. The text is the characters [start, end) of the message."""

    task: str
    text: str
    start: int = 0
    end: int = 0
    offset: int = 0
    """The position of the message's first character in the client's own message. It is not 0 if the text was moved from
    another turn, where it stood after a task.
    """
    passages: tuple[str, ...] = ()
    """The independent passages of the text, or () for a single text."""
    verdict: TaskVerdict = TaskVerdict()
    """What the task needs from the text. If there is no task, the kind is `other`."""
    ordered: bool = False
    """Whether the task depends on the order of things in the text."""
    language: str = "en"
    order: str = ""
    """The words that say what to do, or "" if the kind is `other`. They come from the task or, without a task, from a
    short system message.
    """

    @property
    def origin(self) -> int:
        """The position of the text in the client's own message."""
        return self.start + self.offset

    @property
    def kind(self) -> TaskKind:
        return self.verdict.kind


def shape_of(message: str, system: str = "") -> RequestShape:
    """Split a message into the task and the text. If the message asks for nothing, the task may be in the system
    message.
    """
    found = instruction_of(message)
    if system and found.task and not is_plain(found.task) and verdict_of("", system).sure:
        found = Instruction("", 0, len(message))
    return shaped(message, found, system)


def shaped(message: str, found: Instruction, system: str = "") -> RequestShape:
    """Return the shape of a message that was split into `found`."""
    text = message[found.start : found.end]
    order = found.task or system[:TASK_CHARS]
    language = language_of(order or text[:TASK_CHARS])
    verdict = verdict_of(found.task, system)
    return RequestShape(
        found.task,
        text,
        found.start,
        found.end,
        passages=_passages(text),
        verdict=verdict,
        ordered=any(words.speaks_of_order.search(order) for words in WORDINGS.values()),
        language=language,
        order=order if verdict.kind is not TaskKind.OTHER else "",
    )


def verdict_of(task: str, system: str) -> TaskVerdict:
    """Return what a task needs, judged by its words.

    If there is no task, a short system message is judged instead, but only if the system message clearly asks for
    something.
    """
    head = shipped()
    if task:
        return head.verdict(head.units(task))
    if not system or len(system) > TASK_CHARS:
        return TaskVerdict()
    verdict = head.verdict(head.units(system))
    return verdict if verdict.sure and head.asks(system) > 0.5 else TaskVerdict()


def is_talk(turns: Sequence[Turn]) -> bool:
    """Whether the earlier turns are longer than the last message, so that the conversation is what fills the window."""
    *earlier, last = [len(turn.text) for turn in turns]
    return sum(earlier) > last


def _passages(text: str) -> tuple[str, ...]:
    starts = [match.start() for match in PASSAGE.finditer(text)]
    if len(starts) >= FEWEST_PASSAGES:
        ends = [*starts[1:], len(text)]
        return tuple(text[start:end].strip() for start, end in zip(starts, ends, strict=True))
    ruled = tuple(piece.strip() for piece in _RULE.split(text) if piece.strip())
    return ruled if len(ruled) >= FEWEST_PASSAGES else ()
