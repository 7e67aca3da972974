"""Reads recorded exchanges in portions.

The same window always has the same portions. A portion can therefore be a step of a job, and any machine can read it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Engine, Select, and_, select, tuple_

from gateway.records.database import Database
from gateway.records.engine import engine_for
from gateway.records.feedback import Feedback
from gateway.records.schema import ExchangeRecord, decode
from gateway.records.tables import exchanges, feedback

PORTION = 5000
FETCH = 500
Place = tuple[float, str]
"""The time and the id of an exchange. Exchanges of the same time are ordered by id."""


class RecordWindow(Struct, frozen=True):
    """The exchanges from `since_s` up to, but not including, `until_s`. An empty string turns a filter off."""

    since_s: float
    until_s: float
    model: str = ""
    intent: str = ""
    template: str = ""
    key: str = ""

    @property
    def filters(self) -> Mapping[str, str]:
        named = {name: getattr(self, name) for name in ("model", "intent", "template", "key")}
        return {name: value for name, value in named.items() if value}


class Portion(Struct, frozen=True):
    """The exchanges from `start` up to, but not including, `end`."""

    number: int
    start: Place
    end: Place


class JudgedExchange(Struct, frozen=True):
    record: ExchangeRecord
    feedback: tuple[Feedback, ...]


def portions(url: str, window: RecordWindow, size: int = PORTION) -> list[Portion]:
    """Cut a window into portions of `size` exchanges. Updates the database's schema first. Only the index is read, not
    the records."""
    Database.open(url).close()
    query = select(exchanges.c.time_s, exchanges.c.id).where(*_within(window)).order_by(*_order())
    engine = engine_for(url)
    edges: list[Place] = []
    with engine.connect().execution_options(yield_per=10 * FETCH) as connection:
        for index, (time_s, id) in enumerate(connection.execute(query)):
            if index % size == 0:
                edges.append((time_s, id))
    engine.dispose()
    ends = [*edges[1:], (window.until_s, "")][: len(edges)]
    return [Portion(number, start, end) for number, (start, end) in enumerate(zip(edges, ends, strict=True))]


def read(url: str, window: RecordWindow, portion: Portion, *, judged: bool = True) -> Iterator[JudgedExchange]:
    """Yield the exchanges of a portion, oldest first. Calls made by jobs are left out, so that jobs do not learn from
    themselves. Without `judged` the feedback is not read, which saves a tenth of the time."""
    engine = engine_for(url)
    try:
        opinions = _feedback(engine, window, portion) if judged else {}
        query = _ranged(select(exchanges.c.record), window, portion).order_by(*_order())
        with engine.connect().execution_options(yield_per=FETCH) as connection:
            for (data,) in connection.execute(query):
                record = decode(data)
                if not record.job:
                    yield JudgedExchange(record, tuple(opinions.get(record.id, ())))
    finally:
        engine.dispose()


def _feedback(engine: Engine, window: RecordWindow, portion: Portion) -> Mapping[str, Sequence[Feedback]]:
    columns = [feedback.c[name] for name in Feedback.__struct_fields__]
    query = _ranged(select(*columns).join(exchanges, exchanges.c.id == feedback.c.exchange), window, portion)
    opinions: dict[str, list[Feedback]] = defaultdict(list)
    with engine.connect() as connection:
        for row in connection.execute(query.order_by(feedback.c.number)):
            opinions[row[0]].append(Feedback(*row))
    return opinions


def _ranged(query: Select[Any], window: RecordWindow, portion: Portion) -> Select[Any]:
    place = tuple_(exchanges.c.time_s, exchanges.c.id)
    inside = and_(place >= tuple_(*portion.start), place < tuple_(*portion.end))
    # the index holds only times, so a separate condition on the time lets the database use it
    times = exchanges.c.time_s.between(portion.start[0], portion.end[0])
    return query.where(times, inside, *_within(window))


def _within(window: RecordWindow) -> list[ColumnElement[bool]]:
    times = [exchanges.c.time_s >= window.since_s, exchanges.c.time_s < window.until_s]
    return [*times, *(exchanges.c[name] == value for name, value in window.filters.items())]


def _order() -> list[ColumnElement[Any]]:
    return [exchanges.c.time_s, exchanges.c.id]
