"""Classifies a task by its meaning if its words do not decide. The most similar example decides."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gateway.context.long.focus import Embed
from gateway.context.long.shape import RequestShape
from gateway.context.long.wording import TaskExamples, wording_of
from gateway.errors import NotReady

if TYPE_CHECKING:
    from gateway.ports import Vectors

FLOOR = 0.4
"""If no example is at least this similar to a task, the result of the words stays."""
MARGIN = 0.05
"""The examples of tasks for the whole text must be more similar to the task by this margin than the examples of local
questions, which are the usual case."""
SHORTEST = 12
SENTENCE_START = re.compile(r"(?<=[.!?:])\s+(?=\S)")


class Meaning:
    """Caches the vectors of the examples of each language."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Vectors, Vectors, Vectors]] = {}

    async def of(self, shape: RequestShape, embed: Embed | None) -> RequestShape:
        """The shape with `summary` or `whole` set, if the examples show that the task needs one of them."""
        like = wording_of(shape.language).like
        if embed is None or not shape.task or shape.summary or shape.whole or not like.summary:
            return shape
        try:
            summary, whole, local = await self._examples(shape.language, like, embed)
            (task,) = await embed([_core(shape.task)])
        except NotReady:
            return shape
        nearest = [float((examples @ task).max()) for examples in (summary, whole, local)]
        if max(nearest[:2]) < max(FLOOR, nearest[2] + MARGIN):
            return shape
        return replace(shape, summary=nearest[0] >= nearest[1], whole=nearest[1] > nearest[0])

    async def _examples(self, language: str, like: TaskExamples, embed: Embed) -> Sequence[Vectors]:
        if language not in self._known:
            vectors = await embed([*like.summary, *like.whole, *like.local])
            first, second = len(like.summary), len(like.summary) + len(like.whole)
            self._known[language] = (vectors[:first], vectors[first:second], vectors[second:])
        return self._known[language]


def _core(task: str) -> str:
    """The last sentence of a task, since courtesies and explanations usually come before it."""
    *_, last = SENTENCE_START.split(task)
    return last if len(last) >= SHORTEST else task
