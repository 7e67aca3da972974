"""One mistake in a template: its place, and its remedy."""

from enum import StrEnum

from msgspec import Struct

from gateway.errors import TemplateError


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
    """Not counted, also not by `--strict`."""


class Finding(Struct, frozen=True):
    """`line` and `column` count from 1; 0 is unknown. `code` is stable, for scripts."""

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
    """A file that could not be loaded, as a finding."""
    code = "unknown-slot" if error.what.startswith("no slot ") else "unreadable"
    return Finding(error.file, error.line, error.column, code, error.what)
