"""A mistake in a template, with its place and a remedy."""

from enum import StrEnum

from msgspec import Struct

from gateway.errors import TemplateError


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
    """A note. It never counts as a mistake, even with `--strict`."""


class Finding(Struct, frozen=True):
    """A mistake or a note. `line` and `column` count from 1; 0 means unknown. `code` never changes, so scripts may rely
    on it.
    """

    file: str
    line: int
    column: int
    code: str
    what: str
    remedy: str = ""
    level: Severity = Severity.ERROR

    def __str__(self) -> str:
        mark = "" if self.level is Severity.ERROR else f"{self.level}: "
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.file}:{self.line}:{self.column}: {mark}{self.what}{remedy} [{self.code}]"


def of_error(error: TemplateError) -> Finding:
    """Return the finding for a file that could not be loaded."""
    code = "unknown-slot" if error.what.startswith("no slot ") else "unreadable"
    return Finding(error.file, error.line, error.column, code, error.what)
