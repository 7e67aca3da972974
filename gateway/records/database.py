"""Stores the records in a database: SQLite by default, or PostgreSQL by URL.

All calls block, so only worker threads and commands use this module. The module imports SQLAlchemy. Code that must
start fast therefore imports this module only when it opens the database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, Engine, Select, delete, func, or_, select, update
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from gateway.errors import DatabaseFailed, RecordRefused
from gateway.records.engine import WAIT_S, engine_for, upgraded
from gateway.records.feedback import Feedback
from gateway.records.policy import RecordPolicy, hashed_record
from gateway.records.schema import ExchangeRecord, StoredRecord, decode, encode
from gateway.records.tables import exchanges, feedback

TEXT_LIMIT = 200
PURGE_ROWS = 1000
PORTION = 200
COLUMNS = [column.name for column in exchanges.c]
REFUSALS = ("22", "23", "54")
"""The SQLSTATE classes of PostgreSQL that show an invalid value: data exception, integrity violation and limit
exceeded.
"""


class ExchangeFilter(Struct, frozen=True):
    """The conditions for a list of exchanges. An empty field sets no condition."""

    limit: int = 20
    model: str = ""
    intent: str = ""
    template: str = ""
    key: str = ""
    since_s: float = 0.0


class Summary(Struct, frozen=True):
    """One line of a list of exchanges."""

    id: str
    time_s: float
    key: str
    endpoint: str
    model: str
    intent: str
    template: str
    status: int
    ending: str
    prompt_tokens: int
    completion_tokens: int
    total_us: int


class SpokenAnswer(Struct, frozen=True):
    """An exchange that was answered completely, and whose prompt a template rewrote or would have rewritten.

    `schema.decode` decodes `record`.
    """

    id: str
    time_s: float
    prompt_tokens: int
    completion_tokens: int
    total_us: int
    record: bytes
    score: float | None
    """The mean score in the feedback on the exchange, or None if no feedback has a score."""


class Database:
    """An open database with the newest schema. Every method raises `DatabaseFailed` if the database does not work."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # both dialects have this clause; only the one in use is imported
        insert = import_module(f"sqlalchemy.dialects.{engine.dialect.name}").insert
        statement = insert(exchanges).on_conflict_do_nothing()
        # compiled once: otherwise SQLAlchemy would inspect every value of every row
        self._insert = statement.compile(dialect=engine.dialect)
        assert (self._insert.positiontup or COLUMNS) == COLUMNS

    @classmethod
    def open(cls, url: str, *, wait_s: float = WAIT_S) -> Database:
        """Connect to the database, and upgrade its schema.

        `wait_s` is how long an SQLite statement waits for the lock of another process. Raises `ConfigError` if the URL
        is wrong, or if the schema is newer than this version of Foreword supports.
        """
        engine = engine_for(url, wait_s)
        try:
            with _translated():
                upgraded(engine)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    def close(self) -> None:
        self._engine.dispose()

    def insert(self, records: Sequence[ExchangeRecord]) -> int:
        """Insert all records, or none if one fails. Return the number of new records.

        Records that are already stored stay unchanged. Raises `RecordRefused` if the database will never accept one of
        the records.
        """
        return self.enter([StoredRecord(record, encode(record)) for record in records])

    def enter(self, entries: Sequence[StoredRecord]) -> int:
        """Insert records that are already encoded. Otherwise, this is like `insert`."""
        if not entries:
            return 0
        if self._insert.positional:
            values: Any = [tuple(_values(entry)) for entry in entries]
        else:
            values = [_row(entry) for entry in entries]
        with self._writing() as connection:
            return connection.exec_driver_sql(str(self._insert), values).rowcount

    def get(self, id: str) -> ExchangeRecord | None:
        with self._reading() as connection:
            data = connection.scalar(select(exchanges.c.record).where(exchanges.c.id == _text(id)))
        return None if data is None else decode(data)

    def ids_like(self, start: str, limit: int = 3) -> list[str]:
        """Return up to `limit` ids that begin with `start`, with the newest exchange first."""
        begins = exchanges.c.id.startswith(_text(start), autoescape=True)
        query = select(exchanges.c.id).where(begins).order_by(exchanges.c.time_s.desc()).limit(limit)
        with self._reading() as connection:
            return list(connection.scalars(query))

    def find(self, filters: ExchangeFilter) -> list[Summary]:
        """Return the exchanges that match the filter, newest first."""
        with self._reading() as connection:
            return [Summary(*row) for row in connection.execute(_query(filters))]

    def spoken(self, templates: Sequence[str] = (), since_s: float = 0.0) -> Iterator[SpokenAnswer]:
        """Yield the complete answers of these templates, or of all templates if none is given. The oldest answer comes
        first.

        The answers are read in portions, so memory use does not grow with their number.
        """
        with _translated(), self._engine.connect() as connection, connection.begin():
            rows = connection.execution_options(yield_per=PORTION).execute(_spoken(templates, since_s))
            for row in rows:
                yield SpokenAnswer(*row)

    def spoken_for(self, prefix: str, since_s: float = 0.0) -> Iterator[SpokenAnswer]:
        """Yield the complete answers of all templates whose names begin with `prefix`, the oldest first."""
        with _translated(), self._engine.connect() as connection, connection.begin():
            query = _spoken((), since_s).where(exchanges.c.template.startswith(prefix, autoescape=True))
            for row in connection.execution_options(yield_per=PORTION).execute(query):
                yield SpokenAnswer(*row)

    def decided(self, since_s: float = 0.0) -> Iterator[SpokenAnswer]:
        """Yield the exchanges that have a known intent or a template, with the oldest first.

        Exchanges without a complete answer are included. They are read in portions, so memory use does not grow with
        their number.
        """
        with _translated(), self._engine.connect() as connection, connection.begin():
            rows = connection.execution_options(yield_per=PORTION).execute(_decided(since_s))
            for row in rows:
                yield SpokenAnswer(*row)

    def add_feedback(self, opinion: Feedback) -> None:
        row = {
            "exchange": opinion.exchange,
            "time_s": opinion.time_s,
            "key": _text(opinion.key),
            "score": opinion.score,
            "label": _text(opinion.label),
            "comment": _without_nul(opinion.comment),
            "answer": _without_nul(opinion.answer),
        }
        with self._writing() as connection:
            connection.execute(feedback.insert(), row)

    def feedback(self, exchange: str) -> list[Feedback]:
        """Return all feedback on an exchange, oldest first."""
        columns = [feedback.c[name] for name in Feedback.__struct_fields__]
        query = select(*columns).where(feedback.c.exchange == _text(exchange)).order_by(feedback.c.number)
        with self._reading() as connection:
            return [Feedback(*row) for row in connection.execute(query)]

    def erase(self, id: str) -> None:
        """Reduce an exchange to the data that the policy `hashed` stores. Its feedback keeps only scores and labels."""
        record = self.get(id)
        if record is None:
            return
        hashed = replace(hashed_record(record), policy=RecordPolicy.HASHED)
        row = _row(StoredRecord(hashed, encode(hashed)))
        with self._writing() as connection:
            connection.execute(update(exchanges).where(exchanges.c.id == _text(id)).values(row))
            blank = {"comment": "", "answer": ""}
            connection.execute(update(feedback).where(feedback.c.exchange == _text(id)).values(blank))

    def purge(self, before_s: float, most: int) -> int:
        """Delete exchanges from before `before_s`, with their feedback, and return the number of deleted exchanges.

        The oldest exchanges are deleted first, and at most `most` of them.
        """
        deleted = 0
        # in portions, so that other workers can write in between
        while deleted < most:
            portion = min(PURGE_ROWS, most - deleted)
            old = (
                select(exchanges.c.id).where(exchanges.c.time_s < before_s).order_by(exchanges.c.time_s).limit(portion)
            )
            with self._writing() as connection:
                rows = connection.execute(delete(exchanges).where(exchanges.c.id.in_(old))).rowcount
            deleted += rows
            if rows < portion:
                break
        return deleted

    def size(self) -> tuple[int, float]:
        """Return the number of exchanges, and the time of the newest exchange in seconds since 1970.

        The time is 0.0 if there are no exchanges.
        """
        with self._reading() as connection:
            count, newest_s = connection.execute(select(func.count(), func.max(exchanges.c.time_s))).one()
        return count, newest_s or 0.0

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with _translated(), self._engine.execution_options(foreword_writes=True).begin() as connection:
            yield connection


@contextmanager
def _translated() -> Iterator[None]:
    """Convert an error of the driver to `RecordRefused` if a value is invalid, and to `DatabaseFailed` otherwise."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        failure = RecordRefused if _blames_values(error) else DatabaseFailed
        raise failure(_failure(cause)) from error
    # sqlite3 raises these for values that it cannot bind or store
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        raise RecordRefused(_failure(error)) from error


def _failure(cause: BaseException) -> str:
    return f"the records' database: {(str(cause).strip() or type(cause).__name__).splitlines()[0]}"


def _blames_values(error: SQLAlchemyError) -> bool:
    if isinstance(error, DBAPIError):
        code = str(getattr(error.orig, "sqlstate", None) or "")
        return isinstance(error, (DataError, IntegrityError)) or code.startswith(REFUSALS)
    return isinstance(error, StatementError)


def _query(filters: ExchangeFilter) -> Select[Any]:
    columns = [exchanges.c[name] for name in Summary.__struct_fields__]
    query = select(*columns).order_by(exchanges.c.time_s.desc(), exchanges.c.id.desc()).limit(filters.limit)
    for name in ("model", "intent", "template", "key"):
        if value := getattr(filters, name):
            query = query.where(exchanges.c[name] == _text(value))
    return query.where(exchanges.c.time_s >= filters.since_s) if filters.since_s else query


def _scored() -> Select[Any]:
    """Return a query for the columns of `SpokenAnswer`."""
    score = select(func.avg(feedback.c.score)).where(feedback.c.exchange == exchanges.c.id).scalar_subquery()
    return select(*[exchanges.c[name] for name in SpokenAnswer.__struct_fields__ if name != "score"], score)


def _decided(since_s: float) -> Select[Any]:
    query = _scored().where(or_(exchanges.c.template != "", exchanges.c.intent != ""))
    return query.where(exchanges.c.time_s >= since_s).order_by(exchanges.c.time_s)


def _spoken(templates: Sequence[str], since_s: float) -> Select[Any]:
    query = _scored().where(exchanges.c.status == 200, exchanges.c.ending == "finished")
    names = [_text(name) for name in templates]
    query = query.where(exchanges.c.template.in_(names) if names else exchanges.c.template != "")
    return query.where(exchanges.c.time_s >= since_s).order_by(exchanges.c.time_s)


def _row(entry: StoredRecord) -> dict[str, Any]:
    return dict(zip(COLUMNS, _values(entry), strict=True))


def _values(entry: StoredRecord) -> list[Any]:
    """Return the values of a row in the order of `COLUMNS`."""
    record = entry.listed
    return [
        record.id,
        record.time_s,
        _text(record.key),
        _text(record.endpoint),
        _text(record.model or record.upstream),
        _text(record.intent.name),
        _text(record.rewrite.template),
        record.status,
        _text(record.ending),
        record.answer.prompt_tokens,
        record.answer.completion_tokens,
        record.total_us,
        entry.data,
    ]


def _text(value: str) -> str:
    """Shorten and clean a value for an indexed column.

    Clients choose the names of models, and a bad name must not stop the drain.
    """
    return _without_nul(value)[:TEXT_LIMIT]


def _without_nul(value: str) -> str:
    return value.replace("\0", "\ufffd")  # PostgreSQL refuses NUL
