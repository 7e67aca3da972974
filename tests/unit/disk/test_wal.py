"""Processes that start together open the same new files at once. Threads stand in for them: SQLite locks by
connection."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from sqlite3 import OperationalError, connect
from threading import Barrier

import pytest

from gateway.context.store.catalog import Catalog
from gateway.disk.wal import use_wal
from gateway.records.engine import engine_for, upgraded
from gateway.server.batches.store import BatchStore
from gateway.state.job_orders import JobOrders
from offline_jobs.engine.ledger import Ledger

TOGETHER = 4
FOLDERS = 25


def open_records(folder: Path) -> None:
    engine = engine_for(f"sqlite:///{folder / 'records.db'}")
    upgraded(engine)
    engine.dispose()


def open_catalog(folder: Path) -> None:
    catalog = Catalog(folder / "catalog.sqlite3", patience_s=30.0)
    catalog.open()
    catalog.close()


def open_batches(folder: Path) -> None:
    BatchStore(folder / "batches.db").create("key", "/v1/chat/completions", "file-1", {}, 10)


def open_ledger(folder: Path) -> None:
    Ledger(folder).close()


def open_orders(folder: Path) -> None:
    JobOrders(folder).add("discover", {}, "key")


@pytest.mark.parametrize("opened", [open_records, open_catalog, open_batches, open_ledger, open_orders])
def test_a_new_file_can_be_opened_by_many_at_once(opened: Callable[[Path], None], tmp_path: Path) -> None:
    start = Barrier(TOGETHER)

    def together(folder: Path) -> None:
        start.wait(30)
        opened(folder)

    with ThreadPoolExecutor(TOGETHER) as threads:
        for number in range(FOLDERS):
            folder = tmp_path / str(number)
            folder.mkdir()
            for opening in [threads.submit(together, folder) for _ in range(TOGETHER)]:
                opening.result(60)


def test_a_file_that_stays_locked_is_an_error_after_the_patience_of_its_connection(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "x.db", isolation_level=None)) as first:
        first.execute("CREATE TABLE t (x)")
        first.execute("BEGIN EXCLUSIVE")
        with (
            closing(connect(tmp_path / "x.db", timeout=0.05)) as second,
            pytest.raises(OperationalError, match="locked"),
        ):
            use_wal(second)
        first.execute("ROLLBACK")
        use_wal(first)
        assert first.execute("PRAGMA journal_mode").fetchone() == ("wal",)
