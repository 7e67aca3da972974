"""The tables for everything that the gateway writes: `[data]`, `[records]`, `[telemetry]`."""

from msgspec import Struct

from gateway.settings.numbers import Amount, Count, Seconds


class Records(Struct, frozen=True, forbid_unknown_fields=True):
    """`[records]`: the records of exchanges."""

    policy: str = "full"
    """`full` stores prompts and answers, `hashed` stores hashes and figures, `none` stores nothing."""
    database: str = ""
    """An SQLAlchemy URL; left out: SQLite in the data folder."""
    retention_days: Amount = 30
    """Older exchanges are deleted; 0: never."""
    max_answer_kb: Count = 4096
    """How much of an answer is stored. The record of a longer one has a note that says `truncated`."""
    drain_s: Seconds = 1.0
    """The interval at which records are moved from the spool to the database."""


class Data(Struct, frozen=True, forbid_unknown_fields=True):
    """`[data]`: the folder for everything that the gateway writes."""

    folder: str = "data"
    """The folder of spool, database, vector store and trained classifiers. Relative to the config file."""


class Telemetry(Struct, frozen=True, forbid_unknown_fields=True):
    """`[telemetry]`: traces. Metrics are always on, at `/metrics`."""

    traces: str = "off"
    """`off`, `console`, or an OTLP/HTTP endpoint such as `http://127.0.0.1:4318/v1/traces`."""
    service: str = "foreword"
