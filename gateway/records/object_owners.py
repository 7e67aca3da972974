"""Remembers which key created an object that a backend stores, such as a batch or a thread, and at which backend it is.

All keys share the account of a backend. Without this table, a key could read the objects of another key.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from threading import Lock
from time import time
from typing import Any

from msgspec import Struct

from gateway.errors import DatabaseFailed, ForewordError, NotReady

MOST_CACHED = 10_000


class ObjectOwner(Struct, frozen=True):
    """The key that created an object, and the backend that stores it."""

    key: str
    backend: str


class ObjectOwners:
    """The owners of stored objects, in the records' database. The owner of an object never changes."""

    def __init__(self, open_engine: Callable[[], Any]) -> None:
        """`open_engine` returns an SQLAlchemy engine with the newest schema. It is called once, when it is needed."""
        self._open_engine = open_engine
        self._engine: Any = None
        self._lock = Lock()
        self._cached: OrderedDict[str, ObjectOwner] = OrderedDict()

    async def find(self, ids: Collection[str]) -> Mapping[str, ObjectOwner]:
        """Return the owners of those objects that are known. Raises `NotReady` if the database does not answer."""
        owners = {id: self._cached[id] for id in ids if id in self._cached}
        missing = [id for id in ids if id not in owners]
        if missing:
            stored = await self._run(self._select, missing)
            self._cache(stored)
            owners |= stored
        return owners

    async def claim(self, ids: Collection[str], owner: ObjectOwner) -> None:
        """Store the owner of new objects. Objects with an owner keep it. Raises `NotReady`."""
        new = [id for id in ids if id not in self._cached]
        if new:
            await self._run(self._insert, new, owner)
            self._cache(await self._run(self._select, new))

    async def aclose(self) -> None:
        if self._engine is not None:
            await asyncio.to_thread(self._engine.dispose)

    def _cache(self, owners: Mapping[str, ObjectOwner]) -> None:
        self._cached.update(owners)
        while len(self._cached) > MOST_CACHED:
            self._cached.popitem(last=False)

    async def _run(self, work: Callable[..., Any], *given: Any) -> Any:
        try:
            return await asyncio.to_thread(self._translated, work, *given)
        except ForewordError as error:
            text = "The gateway cannot look up who owns this object at the moment. Try again."
            raise NotReady(text, retry_after_s=2.0) from error

    def _translated(self, work: Callable[..., Any], *given: Any) -> Any:
        from sqlalchemy.exc import SQLAlchemyError

        with self._lock:
            if self._engine is None:
                self._engine = self._open_engine()
        try:
            return work(*given)
        except SQLAlchemyError as error:
            raise DatabaseFailed("the table of objects cannot be used") from error

    def _select(self, ids: list[str]) -> dict[str, ObjectOwner]:
        from sqlalchemy import select

        from gateway.records.tables import objects

        query = select(objects.c.id, objects.c.key, objects.c.backend).where(objects.c.id.in_(ids))
        with self._engine.begin() as connection:
            return {id: ObjectOwner(key, backend) for id, key, backend in connection.execute(query)}

    def _insert(self, ids: list[str], owner: ObjectOwner) -> None:
        from gateway.records.tables import objects

        insert = import_module(f"sqlalchemy.dialects.{self._engine.dialect.name}").insert
        now = int(time())
        rows = [{"id": id, "key": owner.key, "backend": owner.backend, "created": now} for id in ids]
        with self._engine.execution_options(foreword_writes=True).begin() as connection:
            connection.execute(insert(objects).on_conflict_do_nothing(), rows)
