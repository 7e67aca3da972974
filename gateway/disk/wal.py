"""Opens SQLite files for several processes at once."""

from sqlite3 import SQLITE_BUSY, Connection, OperationalError
from time import monotonic, sleep

POLL_S = 0.01


def use_wal(connection: Connection) -> None:
    """Switch the file to write-ahead logging. This waits as long as the connection waits for a lock.

    SQLite's own waiting does not hold here: where several processes switch a new file at once, all but one of them get
    `SQLITE_BUSY` immediately. Raises `OperationalError` if the file is still busy after that time.
    """
    (wait_ms,) = connection.execute("PRAGMA busy_timeout").fetchone()
    deadline = monotonic() + wait_ms / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except OperationalError as error:
            if error.sqlite_errorcode != SQLITE_BUSY or monotonic() >= deadline:
                raise
            sleep(POLL_S)
        else:
            return
