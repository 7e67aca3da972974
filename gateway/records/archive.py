"""Reads recorded exchanges and adds feedback, for the server's endpoints."""

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
"""How long a request waits for a locked or hanging database, in seconds, before it gets an error."""
OPENING_S = 20.0
"""The same limit for the first query, which also loads libraries and upgrades the schema. A locked database is noticed
earlier, because the reading connection waits less for a lock."""
MARGIN_S = 0.3
"""How many seconds remain for a look-up after waiting for another worker."""


class RecordedExchange(Struct, frozen=True):
    """An exchange and its feedback."""

    record: ExchangeRecord
    feedback: tuple[Feedback, ...] = ()


class RecordArchive:
    """The exchanges that a key may see. All others count as missing.

    A missing exchange is looked up again for `patience_s`, because another worker may not have stored it yet. A method
    that takes longer than `answer_s` on an open database raises `NotReady`.
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
        """Find an exchange. Raises `NotFound`, which names the field `param`, or `NotReady` while the database is
        down."""
        async with self._in_time():
            return await self._visible(id, key, param)

    async def add(self, feedback: Feedback, key: ClientKey) -> Feedback:
        """Store feedback on an exchange that the key may see, and return it as stored."""
        async with self._in_time():
            await self._visible(feedback.exchange, key, "exchange")
            stored = signed(feedback, key, self._clock())
            await self._drain.ask(lambda database: database.add_feedback(stored))
            return stored

    async def erase(self, id: str, key: ClientKey) -> None:
        """Delete all texts of an exchange that the key may see. The figures stay."""
        async with self._in_time():
            await self._visible(id, key, "id")
            await self._drain.ask(lambda database: database.erase(id))

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """Limit how long the `with` block waits for the database. Raises `NotReady` at the limit."""
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
        """Look again for a missing exchange, because it may have finished a moment ago."""
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
    """Return the exchange and its feedback, or None. Blocking: call it from worker threads or commands."""
    record = database.get(id)
    return None if record is None else RecordedExchange(record, tuple(database.feedback(id)))


def as_json(entry: RecordedExchange) -> bytes:
    """Encode the record, with the raw body as text, the turns as sent, and the feedback."""
    fields: dict[str, Any] = msgspec.to_builtins(entry.record)
    fields["raw"] = entry.record.raw.decode("utf-8", "replace")
    fields["sent"] = entry.record.sent
    fields["feedback"] = entry.feedback
    return msgspec.json.encode(fields)
