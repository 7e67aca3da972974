"""Creates the SQLAlchemy engine for the records, and upgrades the schema of the database."""

import logging
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from gateway.disk.wal import use_wal
from gateway.errors import ConfigError, Problem

log = logging.getLogger("foreword.database")

REVISIONS = ("0001", "0002")
"""The revisions of the schema that this version supports, oldest first.

With this list, alembic is not needed for a database that is up to date.
"""
WHERE = "[records] database"
KINDS = ("sqlite", "postgresql")
WAIT_S = 10.0
CONNECT_S = 5
LOCK = 0x666F7265  # the key of PostgreSQL's advisory lock for upgrades


def engine_for(url: str, wait_s: float = WAIT_S) -> Engine:
    """Return an engine that is not connected yet. Raises `ConfigError` if the URL cannot be used.

    `wait_s` is how long SQLite waits for the lock of another process.
    """
    place = _url(url)
    options = {"sqlite": {"timeout": wait_s}, "postgresql": {"connect_timeout": CONNECT_S}}
    try:
        engine = create_engine(place, pool_pre_ping=True, connect_args=options[place.get_backend_name()])
    except (ImportError, NoSuchModuleError) as error:
        raise _wrong(f"its driver is missing: {error}", "Run: pip install -e '.[postgres]'") from error
    if engine.dialect.name == "sqlite":
        if place.database and place.database != ":memory:":
            Path(place.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def upgraded(engine: Engine) -> str:
    """Upgrade the schema. Return the revision that the database had before, or "" if the database was empty.

    Several workers may call this at the same time: the first worker upgrades, and the others find nothing to do.
    """
    with engine.begin() as connection:  # without a lock, because others may hold one
        if _revision(connection) == REVISIONS[-1]:
            return REVISIONS[-1]
    with engine.execution_options(foreword_writes=True).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        have = _revision(connection)
        if have and have not in REVISIONS:
            raise _wrong(
                f"its schema {have} is from a newer Foreword; this version supports up to {REVISIONS[-1]}",
                "Upgrade Foreword, or name another database.",
            )
        if have != REVISIONS[-1]:
            _upgrade(connection)
            log.info("database upgraded from schema %s to %s", have or "none", REVISIONS[-1])
        return have


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _revision(connection: Connection) -> str:
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return connection.scalar(text("SELECT version_num FROM alembic_version")) or ""


def _url(url: str) -> URL:
    try:
        place = make_url(url)
    except ArgumentError as error:
        raise _wrong(f"is not a database URL: {error}", "For example sqlite:///data/records.db") from error
    if place.get_backend_name() not in KINDS:
        raise _wrong(f"{place.get_backend_name()!r} is not supported", f"Known: {', '.join(KINDS)}.")
    return place


def _wrong(what: str, remedy: str) -> ConfigError:
    return ConfigError([Problem(WHERE, what, remedy)])


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # SQLAlchemy's "begin" event begins transactions, because Python's driver would begin them late and by its own rules
    connection.isolation_level = None
    use_wal(connection)
    # FULL: the spool deletes a segment after the commit, so the commit must be on disk by then
    for pragma in ("synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # a transaction that started with a read cannot write while another one writes
    writes = connection.get_execution_options().get("foreword_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
