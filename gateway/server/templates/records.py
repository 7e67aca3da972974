"""Reads the records for a page or report, on a thread and a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from gateway.assembly.gateway import Gateway
from gateway.errors import ConfigError, DatabaseFailed, NotFound
from gateway.records.drain import not_ready
from gateway.records.locations import database_url

if TYPE_CHECKING:  # importing this module imports SQLAlchemy as well
    from gateway.records.database import Database

T = TypeVar("T")


async def read_records(gateway: Gateway, read: Callable[[Database], T]) -> T:
    """Call `read` with the database and return its result.

    Raises `NotFound` if no records are kept, and `NotReady` if the database cannot be used.
    """
    if gateway.keeping is None:
        raise NotFound("This gateway keeps no records: [records] policy is none.")

    def open_and_read() -> T:
        # imported here, because SQLAlchemy would add 0.3 s to the start
        from gateway.records.database import Database

        # a separate connection, so that writing records does not wait for a long read
        database = Database.open(database_url(gateway.settings))
        try:
            return read(database)
        finally:
            database.close()

    try:
        return await asyncio.to_thread(open_and_read)
    except (DatabaseFailed, ConfigError) as error:
        raise not_ready(error) from error
