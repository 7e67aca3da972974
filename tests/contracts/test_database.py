"""What the records ask of a database, on SQLite and, where it is installed, on PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from msgspec.structs import replace
from sqlalchemy import create_engine, text

from gateway.errors import ConfigError, DatabaseFailed
from gateway.exchange import Intent, Rewrite
from gateway.ports import Answer
from gateway.records.database import Database, ExchangeFilter, Summary
from gateway.records.engine import engine_for
from gateway.records.feedback import Feedback
from gateway.records.schema import ExchangeRecord
from gateway.records.tables import metadata

RECORD = ExchangeRecord(
    "ex-1",
    time_s=100.0,
    key="app",
    endpoint="chat/completions",
    model="small",
    intent=Intent("summarise"),
    rewrite=Rewrite("summarise/en", 1),
    ending="finished",
    status=200,
    total_us=5_000_000_000,
    answer=Answer("Short.", "stop", 7, 3),
)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'deeper' / 'records.db'}"
        return
    server: str = request.getfixturevalue("postgres")
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS records"))
        connection.execute(text("CREATE DATABASE records"))
    engine.dispose()
    yield server.replace("/postgres?", "/records?")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database.open(url)
    yield database
    database.close()


def test_a_record_is_read_back_whole(database: Database) -> None:
    database.insert([RECORD])

    assert database.get("ex-1") == RECORD
    assert database.get("ex-2") is None


def test_what_is_there_already_stays_as_it_is(database: Database) -> None:
    assert database.insert([RECORD]) == 1
    assert database.insert([replace(RECORD, model="other"), replace(RECORD, id="ex-2")]) == 1
    assert database.insert([]) == 0

    assert database.get("ex-1") == RECORD
    assert len(database.find(ExchangeFilter())) == 2


def test_a_list_shows_the_newest_first_and_only_what_is_wanted(database: Database) -> None:
    database.insert(
        [
            RECORD,
            replace(RECORD, id="ex-2", time_s=200.0, model="big"),
            replace(RECORD, id="ex-3", time_s=300.0, key="other", intent=Intent(), rewrite=Rewrite()),
        ]
    )

    def ids(wanted: ExchangeFilter) -> list[str]:
        return [one.id for one in database.find(wanted)]

    assert ids(ExchangeFilter()) == ["ex-3", "ex-2", "ex-1"]
    assert ids(ExchangeFilter(limit=1)) == ["ex-3"]
    assert ids(ExchangeFilter(model="small")) == ["ex-3", "ex-1"]
    assert ids(ExchangeFilter(intent="summarise")) == ["ex-2", "ex-1"]
    assert ids(ExchangeFilter(template="summarise/en", since_s=150)) == ["ex-2"]
    assert ids(ExchangeFilter(key="other")) == ["ex-3"]
    assert database.find(ExchangeFilter(key="app", model="small")) == [
        Summary(
            "ex-1", 100.0, "app", "chat/completions", "small", "summarise", "summarise/en", 200, "finished", 7, 3,
            5_000_000_000,
        )
    ]  # fmt: skip


def test_several_feedbacks_on_an_exchange_are_all_kept_in_order(database: Database) -> None:
    database.insert([RECORD])
    given = [Feedback("ex-1", 0.25, "card", "so \0 so", "Längeres.", "app", 5.5), Feedback("ex-1")]

    for one in given:
        database.add_feedback(one)

    assert database.feedback("ex-1") == [replace(given[0], comment="so \ufffd so"), given[1]]
    assert database.feedback("ex-2") == []


def test_feedback_on_an_exchange_that_is_not_there_is_refused(database: Database) -> None:
    with pytest.raises(DatabaseFailed):
        database.add_feedback(Feedback("ex-1", 1.0))


def test_a_purge_takes_the_old_with_their_feedback(database: Database) -> None:
    database.insert([replace(RECORD, id=f"old-{number}", time_s=50.0) for number in range(2500)])
    database.insert([RECORD])
    database.add_feedback(Feedback("old-1", 1.0))

    assert database.purge(before_s=100.0, most=10_000) == 2500

    assert [one.id for one in database.find(ExchangeFilter())] == ["ex-1"]
    assert database.feedback("old-1") == []


@pytest.mark.parametrize("name", ["nul \0 nul", "x" * 100_000, "名" * 5000])
def test_no_name_that_a_client_chooses_stops_the_drain(database: Database, name: str) -> None:
    odd = replace(RECORD, model=name)

    database.insert([odd])

    assert database.get("ex-1") == odd

    assert [one.id for one in database.find(ExchangeFilter(model=name))] == ["ex-1"]


def test_opening_again_changes_nothing(database: Database, url: str) -> None:
    database.insert([RECORD])

    again = Database.open(url)

    assert again.get("ex-1") == RECORD
    again.close()


def test_the_revisions_lead_to_the_tables_that_the_code_uses(database: Database, url: str) -> None:
    engine = engine_for(url)
    with engine.begin() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()

    assert differences == []


def test_workers_that_start_together_upgrade_once(url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(Database.open, [url] * 4))

    assert [database.insert([RECORD]) for database in opened] == [1, 0, 0, 0]
    for database in opened:
        database.close()


def test_a_database_of_a_newer_version_is_refused_with_the_remedy(database: Database, url: str) -> None:
    engine = engine_for(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()

    with pytest.raises(ConfigError, match=r"\[records\] database: its schema 9999.*\n.*Upgrade Foreword"):
        Database.open(url)
