"""The tables `[data]`, `[records]` and `[telemetry]`: everything that the gateway writes."""

from typing import Literal

from msgspec import Struct

from gateway.settings.numbers import Amount, Count, Seconds


class Records(Struct, frozen=True, forbid_unknown_fields=True):
    """`[records]`: the records of exchanges."""

    policy: str = "full"
    """`full` stores prompts and answers, `hashed` stores hashes and figures, `none` stores nothing."""
    database: str = ""
    """An SQLAlchemy URL. Default: SQLite in the data folder."""
    retention_days: Amount = 30
    """Exchanges older than this are deleted; 0: never."""
    max_answer_kb: Count = 4096
    """How much of an answer is stored. The record of a longer answer has the note `truncated`."""
    drain_s: Seconds = 1.0
    """How often records are moved from the spool to the database."""


class Data(Struct, frozen=True, forbid_unknown_fields=True):
    """`[data]`: the folder for everything that the gateway writes."""

    folder: str = "data"
    """The folder for the spool, the database, the vector store and trained classifiers, relative to the config file."""


class Telemetry(Struct, frozen=True, forbid_unknown_fields=True):
    """`[telemetry]`: traces and the access log. Metrics are always on, at `/metrics`."""

    traces: str = "off"
    """`off`, `console`, or an OTLP/HTTP endpoint such as `http://127.0.0.1:4318/v1/traces`."""
    service: str = "foreword"
    access_log: str = "off"
    """`off`, `stdout`, or a file, relative to the config file. It gets one line for each request, without texts. A file
    that was moved is made anew."""
    access_format: Literal["line", "json"] = "line"
    """`line` for people, `json` for machines."""
