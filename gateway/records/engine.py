"""Opens the SQLAlchemy engine of the records, and brings the schema up to date."""

import logging
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from gateway.errors import ConfigError, Problem

log = logging.getLogger("foreword.database")

REVISIONS = ("0001",)
"""All that this version knows, in order. Held here so that an up-to-date database needs no alembic."""
WHERE = "[records] database"
KINDS = {"sqlite": {"timeout": 10}, "postgresql": {"connect_timeout": 5}}
LOCK = 0x666F7265  # PostgreSQL's advisory lock for upgrading


def engine_for(url: str) -> Engine:
    """Raises `ConfigError` if the URL cannot be used; connects to nothing yet."""
    where = _url(url)
    try:
        engine = create_engine(where, pool_pre_ping=True, connect_args=KINDS[where.get_backend_name()])
    except (ImportError, NoSuchModuleError) as error:
        raise _wrong(f"its driver is missing: {error}", "Run: pip install 'foreword[postgres]'") from error
    if engine.dialect.name == "sqlite":
        if where.database and where.database != ":memory:":
            Path(where.database).parent.mkdir(parents=True, exist_ok=True)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def upgraded(engine: Engine) -> str:
    """Bring the schema up to date. Returns what it was before, "" for an empty database.

    Several workers may do this at once: the first does it, the others find it done.
    """
    with engine.execution_options(foreword_writes=True).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        have = _revision(connection)
        if have and have not in REVISIONS:
            raise _wrong(
                f"its schema is {have}, which a newer Foreword made; this one knows up to {REVISIONS[-1]}",
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
        where = make_url(url)
    except ArgumentError as error:
        raise _wrong(f"is no database URL: {error}", "For example sqlite:///data/records.db") from error
    if where.get_backend_name() not in KINDS:
        known = ", ".join(KINDS)
        raise _wrong(f"{where.get_backend_name()!r} is not supported", f"Known: {known}.")
    return where


def _wrong(what: str, remedy: str) -> ConfigError:
    return ConfigError([Problem(WHERE, what, remedy)])


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # Python's driver opens transactions late and by its own rules; here SQLAlchemy's "begin" does
    connection.isolation_level = None
    # FULL: the spool's segment is deleted after the commit, so the commit has to be on the disk
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # a writer that began as a reader could not become one while another writes
    writes = connection.get_execution_options().get("foreword_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
