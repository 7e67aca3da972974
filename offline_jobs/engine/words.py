"""Reads the words of a job, such as `name=value`, from the command line or a schedule."""

from collections.abc import Iterable
from typing import Any

import msgspec

from offline_jobs.errors import JobFailed


def read_words(words: Iterable[str]) -> dict[str, Any]:
    """Convert words such as `name=value` to a table. Values that are JSON are decoded.

    Raises `JobFailed` if a word has no `=`.
    """
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
