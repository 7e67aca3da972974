"""Reading exchanges back, and adding feedback to them: what the server's endpoints call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from gateway.errors import ConfigError, DatabaseFailed, NotFound
from gateway.exchange import ClientKey
from gateway.records.drain import Drain, not_ready
from gateway.records.feedback import Feedback, signed, visible
from gateway.records.schema import ExchangeRecord

if TYPE_CHECKING:
    from gateway.records.database import Database


LOOK_AGAIN_S = 0.1


class RecordedExchange(Struct, frozen=True):
    """An exchange and what was said about it."""

    record: ExchangeRecord
    feedback: tuple[Feedback, ...] = ()


class RecordArchive:
    """The exchanges that a key may see. What it may not see does not exist for it.

    `patience_s`: with several workers another one may not have drained an exchange yet; how long to
    look again for it.
    """

    def __init__(self, drain: Drain, *, patience_s: float = 0.0, clock: Callable[[], float] = time.time) -> None:
        self._drain = drain
        self._patience_s = patience_s
        self._clock = clock

    async def get(self, id: str, key: ClientKey, param: str = "id") -> RecordedExchange:
        """Raises `NotFound`, which names `param`, and `NotReady` while the database is down."""
        entry = await self._drain.ask(lambda database: entry_of(database, id))
        if entry is None:
            entry = await self._later(id)
        if entry is None or not visible(entry.record, key):
            raise NotFound(f"There is no exchange {id!r}.", param=param)
        return entry

    async def add(self, feedback: Feedback, key: ClientKey) -> Feedback:
        """Store feedback on an exchange that the key may see; returns it as it is stored."""
        await self.get(feedback.exchange, key, "exchange")
        given = signed(feedback, key, self._clock())
        await self._drain.ask(lambda database: database.add_feedback(given))
        return given

    async def erase(self, id: str, key: ClientKey) -> None:
        """Delete every text of an exchange that the key may see; its figures stay."""
        await self.get(id, key)
        await self._drain.ask(lambda database: database.erase(id))

    async def _later(self, id: str) -> RecordedExchange | None:
        """Look for what only just finished."""
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
    """Blocking: for worker threads and commands."""
    record = database.get(id)
    return None if record is None else RecordedExchange(record, tuple(database.feedback(id)))


def as_json(entry: RecordedExchange) -> bytes:
    """The record as a JSON object, with the raw body as text, the turns as sent, and the feedback."""
    fields: dict[str, Any] = msgspec.to_builtins(entry.record)
    fields["raw"] = entry.record.raw.decode("utf-8", "replace")
    fields["sent"] = entry.record.sent
    fields["feedback"] = entry.feedback
    return msgspec.json.encode(fields)
