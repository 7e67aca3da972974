"""Reads recorded exchanges and stores feedback, for the endpoints of the server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from gateway.ask import ClientKey
from gateway.errors import ConfigError, DatabaseFailed, NotFound
from gateway.records.drain import Drain, not_ready
from gateway.records.feedback import Feedback, signed, visible
from gateway.records.schema import ExchangeRecord

if TYPE_CHECKING:
    from gateway.records.database import Database


LOOK_AGAIN_S = 0.1
ANSWER_S = 1.5
"""How long a request waits for a database that is locked or does not answer, in seconds. After that,
the request fails.
"""
OPENING_S = 20.0
"""How long the first query waits, in seconds. The first query also loads libraries and upgrades the schema.

A locked database is noticed earlier, because the reading connection has a shorter wait for locks.
"""
MARGIN_S = 0.3
"""How long a query may still take, in seconds, after `patience_s` has passed."""


class RecordedExchange(Struct, frozen=True):
    """An exchange and its feedback."""

    record: ExchangeRecord
    feedback: tuple[Feedback, ...] = ()


class RecordArchive:
    """The exchanges that a key may see. All other exchanges count as missing.

    A missing exchange is looked up repeatedly for `patience_s`, because another worker may not have stored it yet. Once
    the database is open, a method that takes longer than `answer_s` raises `NotReady`.
    """

    def __init__(
        self,
        drain: Drain,
        *,
        patience_s: float = 0.0,
        answer_s: float = ANSWER_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._drain = drain
        self._patience_s = patience_s
        self._answer_s = answer_s
        self._clock = clock

    async def get(self, id: str, key: ClientKey, param: str = "id") -> RecordedExchange:
        """Return an exchange. Raises `NotFound`, or `NotReady` while the database is down.

        `param` is the field of the request that the `NotFound` error names.
        """
        async with self._in_time():
            return await self._visible(id, key, param)

    async def add(self, feedback: Feedback, key: ClientKey) -> Feedback:
        """Store feedback on an exchange that the key may see, and return the feedback as stored."""
        async with self._in_time():
            await self._visible(feedback.exchange, key, "exchange")
            stored = signed(feedback, key, self._clock())
            await self._drain.ask(lambda database: database.add_feedback(stored))
            return stored

    async def erase(self, id: str, key: ClientKey) -> None:
        """Delete all texts of an exchange that the key may see. Its numbers, such as token counts, stay."""
        async with self._in_time():
            await self._visible(id, key, "id")
            await self._drain.ask(lambda database: database.erase(id))

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """Raise `NotReady` if the `with` block waits too long for the database."""
        try:
            answer_s = self._answer_s if self._drain.is_open else max(self._answer_s, OPENING_S)
            async with asyncio.timeout(max(answer_s, self._patience_s + MARGIN_S)):
                yield
        except TimeoutError as error:
            raise not_ready(DatabaseFailed("the records' database did not answer in time")) from error

    async def _visible(self, id: str, key: ClientKey, param: str) -> RecordedExchange:
        entry = await self._drain.ask(lambda database: entry_of(database, id))
        if entry is None:
            entry = await self._later(id)
        if entry is None or not visible(entry.record, key):
            raise NotFound(f"There is no exchange {id!r}.", param=param)
        return entry

    async def _later(self, id: str) -> RecordedExchange | None:
        """Look up a missing exchange again until `patience_s` has passed, and return it or None.

        The exchange may have ended a moment ago.
        """
        try:
            await self._drain.flush()
        except (DatabaseFailed, ConfigError) as error:
            raise not_ready(error) from error
        entry = await self._drain.ask(lambda database: entry_of(database, id))
        until = self._clock() + self._patience_s
        while entry is None and self._clock() < until:
            await asyncio.sleep(LOOK_AGAIN_S)
            entry = await self._drain.ask(lambda database: entry_of(database, id))
        return entry


def entry_of(database: Database, id: str) -> RecordedExchange | None:
    """Return the exchange with its feedback, or None if it is not in the database.

    This call blocks, so use it only in worker threads and commands.
    """
    record = database.get(id)
    return None if record is None else RecordedExchange(record, tuple(database.feedback(id)))


def as_json(entry: RecordedExchange) -> bytes:
    """Encode the record with its feedback. The raw body is encoded as text, and the turns are those that were sent."""
    fields: dict[str, Any] = msgspec.to_builtins(entry.record)
    fields["raw"] = entry.record.raw.decode("utf-8", "replace")
    fields["sent"] = entry.record.sent
    fields["feedback"] = entry.feedback
    return msgspec.json.encode(fields)
