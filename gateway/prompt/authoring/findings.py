"""One thing that is wrong with a template, where it stands, and what mends it."""

from enum import StrEnum

from msgspec import Struct

from gateway.errors import TemplateError
from gateway.prompt.templates.template import Template


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


class Finding(Struct, frozen=True):
    """`line` and `column` count from 1; 0 is unknown. `code` is what scripts go by."""

    file: str
    line: int
    column: int
    code: str
    what: str
    remedy: str = ""
    level: Severity = Severity.ERROR

    def __str__(self) -> str:
        mark = "" if self.level is Severity.ERROR else "warning: "
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.file}:{self.line}:{self.column}: {mark}{self.what}{remedy} [{self.code}]"


def at(
    template: Template, key: str, code: str, what: str, remedy: str = "", level: Severity = Severity.ERROR
) -> Finding:
    """A finding at a key of the head, such as `intent.match`."""
    line, column = template.places.get(key) or template.places.get(key.partition(".")[0]) or (1, 1)
    return Finding(template.file, line, column, code, what, remedy, level)


def of_error(error: TemplateError) -> Finding:
    """What kept a file from being loaded."""
    code = "unknown-slot" if error.what.startswith("no slot ") else "unreadable"
    return Finding(error.file, error.line, error.column, code, error.what)
