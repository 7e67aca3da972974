"""Reads the schedules of `[jobs]`.

A schedule is cron's five fields followed by the job's words. Example: `optimise = "0 5 * * sun template=summarise.en"`.
A job with several schedules has a list of such texts.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from gateway.errors import Problem
from gateway.settings.tables import Settings
from offline_jobs.engine.registry import KINDS, kind_of, read_options
from offline_jobs.engine.words import read_words
from offline_jobs.errors import JobFailed

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
DAYS_OF_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * sun",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
ITEM = re.compile(r"(\*|[0-9a-z]+(?:-[0-9a-z]+)?)(?:/(\d+))?")


class CronField(Struct, frozen=True):
    """One of cron's five fields: its name, bounds, and names of values."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def values(self, text: str) -> set[int]:
        """Return the values that the text selects. Raises `ValueError` if the text is invalid."""
        return {value for item in text.lower().split(",") for value in self._item(item)}

    def _item(self, item: str) -> range:
        match = ITEM.fullmatch(item)
        if match is None:
            raise ValueError(f"{item!r} is no {self.name}")
        step = int(match[2] or 1)
        if step == 0:
            raise ValueError(f"{item!r} has a step of 0")
        if match[1] == "*":
            return range(self.low, self.high + 1, step)
        first, dash, last = match[1].partition("-")
        start = self._number(first)
        end = self._number(last) if dash else (self.high if match[2] else start)
        if end < start:
            raise ValueError(f"the range {item!r} ends before it begins")
        return range(start, end + 1, step)

    def _number(self, text: str) -> int:
        if text in self.names:
            return self.low + self.names.index(text)
        if not text.isdigit() or not self.low <= int(text) <= self.high:
            raise ValueError(f"{text!r} is no {self.name} from {self.low} to {self.high}")
        return int(text)


FIELDS = (
    CronField("minute", 0, 59),
    CronField("hour", 0, 23),
    CronField("day of the month", 1, 31),
    CronField("month", 1, 12, MONTHS),
    CronField("day of the week", 0, 7, DAYS),  # both 0 and 7 mean Sunday
)


class Schedule(Struct, frozen=True):
    """One schedule: the kind of job, cron's five fields, and the job's words as written."""

    kind: str
    when: str
    words: tuple[str, ...] = ()


def schedules(table: Mapping[str, str | Sequence[str]]) -> list[Schedule]:
    """Return the schedules of `[jobs.schedules]`. Raises `JobFailed` at the first mistake."""
    return [_schedule(kind, text) for kind, text in _texts(table)]


def one_by_one(table: Mapping[str, str | Sequence[str]]) -> Iterator[Mapping[str, str]]:
    """Yield a table for each schedule, so that each may have its own mistake."""
    for kind, text in _texts(table):
        yield {kind: text}


def schedule_problems(settings: Settings) -> Iterator[Problem]:
    """Yield a problem for each schedule that could not run, for `foreword check`."""
    where = f"{settings.file} [jobs.schedules]"
    for kind, text in _texts(settings.jobs.schedules):
        try:
            _schedule(kind, text)
        except JobFailed as error:
            place, _, what = str(error).removeprefix("[jobs.schedules] ").partition(": ")
            yield Problem(f"{where} {place}", what, "See: foreword jobs kinds, and man 5 crontab")


def _texts(table: Mapping[str, str | Sequence[str]]) -> Iterator[tuple[str, str]]:
    for kind, texts in table.items():
        for text in [texts] if isinstance(texts, str) else texts:
            yield kind, text


def _schedule(kind: str, text: str) -> Schedule:
    if kind not in KINDS:
        raise _mistake(kind, f"there is no such job; choose from: {', '.join(KINDS)}")
    try:
        parts = shlex.split(text)
    except ValueError as error:
        raise _mistake(kind, f"{text!r} cannot be read: {error}") from None
    if parts and parts[0] in MACROS:
        raise _mistake(kind, f"write {MACROS[parts[0]]!r} instead of {parts[0]}")
    count = next((number for number, part in enumerate(parts) if "=" in part), len(parts))
    fields, words = parts[:count], parts[count:]
    if len(fields) != len(FIELDS):
        raise _mistake(kind, f"{text!r} does not begin with cron's five fields, such as 0 3 * * *")
    try:
        days, months, _ = [field.values(part) for field, part in zip(FIELDS, fields, strict=True)][2:]
    except ValueError as error:
        raise _mistake(kind, f"{text!r}: {error}") from None
    # given both a day of the month and a day of the week, cron runs on days that match either
    if fields[4] == "*" and not any(day <= DAYS_OF_MONTH[month - 1] for day in days for month in months):
        raise _mistake(kind, f"{text!r} names a day that no month has")
    _check_words(kind, text, words)
    return Schedule(kind, " ".join(fields), tuple(words))


def _check_words(kind: str, text: str, words: Sequence[str]) -> None:
    try:
        job = kind_of(kind)
    except JobFailed:
        return  # the machine that runs the job may have a package that this machine lacks
    try:
        read_options(kind, job, read_words(words))
    except JobFailed as error:
        raise _mistake(kind, f"{text!r}: {error}") from None


def _mistake(kind: str, what: str) -> JobFailed:
    return JobFailed(f"[jobs.schedules] {kind}: {what}")
