"""Findings about a template: mistakes and notes, each with a place and a remedy."""

from enum import StrEnum

from msgspec import Struct

from gateway.errors import TemplateError


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
    """Information for the author. A note never counts as a mistake, not even with `--strict`."""


class Finding(Struct, frozen=True):
    """A mistake or a note about a template file.

    `line` and `column` count from 1, and 0 means unknown. The `code` of a finding never changes, so scripts may rely on
    it.
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
