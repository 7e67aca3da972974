"""The words that a job is started with: `name=value`, on the command line and in schedules."""

from collections.abc import Iterable
from typing import Any

import msgspec

from offline_jobs.errors import JobFailed


def read_words(words: Iterable[str]) -> dict[str, Any]:
    """`name=value` as a table; a value that is JSON is decoded. Raises `JobFailed`."""
    table: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise JobFailed(f"{word!r} is not NAME=VALUE")
        try:
            table[name.replace("-", "_")] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            table[name.replace("-", "_")] = value
    return table
