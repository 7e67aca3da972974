"""Answers recorded requests with a version of a found prompt, exactly as the gateway would send them.

The recorded sampling, format, tools and history stay; only the messages that the version changes are new.
"""

import time
from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec import Raw, Struct
from msgspec.structs import replace

from gateway.errors import RequestError
from gateway.exchange import Exchange
from gateway.ports import Answer, Embedder, Vectors
from gateway.prompt.found.adopt import FoundTemplate
from gateway.prompt.found.nearest import pool_of, texts_of
from gateway.prompt.library.pools import EmbeddedPool
from gateway.prompt.swap import new_turns
from gateway.prompt.templates.fields import Shot
from gateway.wire.chat.answer import read_answer
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.engine.models import KEY, Loop
from offline_jobs.errors import JobFailed
from offline_jobs.found.rows import ask_of

DEAD = 8
"""The model counts as down after this many failed calls in a row."""
OK = 300


class FoundAnswer(Struct, frozen=True):
    """An answer, and what it took."""

    answer: Answer
    took_us: int = 0
    chars: int = 0
    """The number of characters of the prompt."""
    problem: str = ""

    @property
    def text(self) -> str:
        return self.answer.text

    @property
    def finish(self) -> str:
        return self.answer.finish


class FoundTrial:
    """Answers rows with versions of one prompt. Equal requests are answered once."""

    def __init__(self, loop: Loop, model: str, embedder: Embedder | None = None) -> None:
        """`embedder` is needed for versions with nearest examples."""
        self._loop = loop
        self._model = model
        self._embedder = embedder
        self._pools: dict[FoundTemplate, EmbeddedPool] = {}
        self._vectors: dict[str, Vectors] = {}
        self._failed = 0
        self._answers: dict[tuple[str, FoundTemplate | None], FoundAnswer] = {}

    def plain(self, rows: Sequence[DatasetRow]) -> list[FoundAnswer]:
        """Answer rows with the application's own text."""
        return self.answers(None, rows)

    def answers(self, template: FoundTemplate | None, rows: Sequence[DatasetRow]) -> list[FoundAnswer]:
        """Answer rows with a version, or with the application's own text. Raises `JobFailed` if the model is down."""
        key = template
        new = [row for row in rows if (row.request, key) not in self._answers]
        shots = {row.request: self._nearest(template, row) for row in new}

        async def answer(row: DatasetRow) -> FoundAnswer:
            return await self._answer(template, row, shots[row.request])

        for row, answered in zip(new, self._loop.all(answer, new), strict=True):
            self._answers[row.request, key] = answered
        return [self._answers[row.request, key] for row in rows]

    def _nearest(self, template: FoundTemplate | None, row: DatasetRow) -> tuple[Shot, ...]:
        if template is None or template.nearest is None:
            return ()
        pool = self._pools.get(template)
        if pool is None:
            vectors = np.stack([self._vector(text) for text in texts_of(template, template.nearest)])
            pool = self._pools[template] = pool_of(template, template.nearest, vectors)
        values = template.named(row.parts)
        vector, own = self._vector(values[template.nearest.part]), template.own_message(values)
        if all(shot.input != own for shot in pool.rows.shots):
            return pool.nearest(vector)
        # the recorded request is an example itself, and would show its own answer
        near = pool.nearest(vector, template.nearest.k + 1)
        return tuple([shot for shot in near if shot.input != own][-template.nearest.k :])

    def _vector(self, text: str) -> Vectors:
        if text not in self._vectors:
            if self._embedder is None:
                raise JobFailed("the version shows the nearest examples, which needs an [embedder]")
            self._vectors[text] = np.asarray(self._embedder.embed([text]), np.float32)[0]
        return self._vectors[text]

    async def _answer(
        self, template: FoundTemplate | None, row: DatasetRow, shots: tuple[Shot, ...] = ()
    ) -> FoundAnswer:
        exchange = self.exchange(template, row, shots)
        caller = self._loop.models.caller
        try:
            reply = await caller.call(exchange, ())
        except RequestError as error:
            self._failed += 1
            if self._failed >= DEAD:
                raise JobFailed(
                    f"the model {self._model!r} failed {self._failed} times in a row: {error.message} "
                    "When it works again: foreword jobs resume ID"
                ) from error
            return FoundAnswer(Answer(), problem=error.message)
        self._failed = 0
        chars = sum(len(turn.text) for turn in exchange.sent)
        took_us = caller.took_us.pop(exchange.id, 0)
        if reply.status >= OK:
            return FoundAnswer(Answer(), took_us, chars, f"the model refused the request with {reply.status}")
        return FoundAnswer(read_answer(reply.body, "application/json"), took_us, chars)

    def exchange(self, template: FoundTemplate | None, row: DatasetRow, shots: tuple[Shot, ...] = ()) -> Exchange:
        """Return the exchange that sends a row. Its body has all fields of the recorded request."""
        plain = self._loop.models.exchange((), self._model)
        ask = ask_of(_for_model(row.request, plain.ask.model))
        if ask is None:
            raise JobFailed(f"the request of {row.exchange} cannot be read; harvest the rows again")
        exchange = Exchange(plain.id, ask, KEY, started_s=time.time(), route=plain.route, job=plain.job)
        if template is None:
            return exchange
        return replace(exchange, turns=new_turns(ask.turns, template, template.named(row.parts), shots))


def _for_model(request: str, model: str) -> str:
    fields = msgspec.json.decode(request, type=dict[str, Raw])
    return msgspec.json.encode({**fields, "model": model}).decode()
