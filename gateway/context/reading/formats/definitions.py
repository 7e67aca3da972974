"""Finds the definitions of languages whose blocks are told by whole lines: Lua, Perl, PowerShell, R, Ruby, shell, SQL.

A definition begins with a line of a certain form, and the comments right above it. It ends with the line that closes it
at the same indent, or before the next definition that is not indented further.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from gateway.context.reading.formats.code_block import LONGEST_TITLE, CodeBlock

BRACE = re.compile(r"\s*\}[\s;)]*$")
END = re.compile(r"\s*(?:end\b[\s;,)]*$|def\s+[\w.]+[?!]?(?:\([^)]*\))?\s+=\s)")
"""The end of a block in Ruby, or a method without one."""
LONGEST_LINE = 500


class Form(NamedTuple):
    """The lines that begin and end a definition, and those that are comments."""

    begin: re.Pattern[str]
    close: re.Pattern[str]
    comment: str = "#"
    holds: str = ""
    """The words that begin a definition that contains others."""


def form(begin: str, close: re.Pattern[str], comment: str = "#", holds: str = "") -> Form:
    return Form(re.compile(rf"\s*(?:{begin})", re.IGNORECASE if comment == "--" else 0), close, comment, holds)


SHELL = form(r"function\s+[\w:-]+|[\w:-]+\s*\(\s*\)\s*(?:[{(]|$)", BRACE)
PERL = form(r"(?:package|sub)\s+[\w:]+", BRACE, holds="package")
SQL = form(
    r"create\s+(?:or\s+\w+\s+)?(?:(?:temp|temporary|unique|materialized|unlogged|global|external)\s+)*"
    r"(?:table|view|index|function|procedure|trigger|type|schema|sequence|policy|domain)\b",
    re.compile(r".*;\s*(?:--.*)?$"),
    "--",
)
FORMS = {
    ".bash": SHELL,
    ".ksh": SHELL,
    ".lua": form(
        r"(?:local\s+)?function\s+[\w.:]+|(?:local\s+)?[\w.]+\s*=\s*function\b", re.compile(r"\s*end\b"), "--"
    ),
    ".pl": PERL,
    ".pm": PERL,
    ".ps1": form(r"(?:function|filter|class|enum)\s+[\w:-]+", BRACE, holds="class"),
    ".psm1": form(r"(?:function|filter|class|enum)\s+[\w:-]+", BRACE, holds="class"),
    ".r": form(r"[\w.]+\s*(?:<-|=)\s*function\b", BRACE),
    ".rb": form(r"(?:class|module|def)\s+[\w.:<]", END, holds="class module"),
    ".sh": SHELL,
    ".sql": SQL,
    ".zsh": SHELL,
}


def line_blocks(text: str, suffix: str) -> list[CodeBlock]:
    """Return the definitions in their order. Those within a definition that does not hold others are left out."""
    return list(_blocks(text.split("\n"), FORMS[suffix]))


def _blocks(lines: list[str], rules: Form) -> Iterator[CodeBlock]:
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    length = starts[-1] - 1
    found = [number for number, line in enumerate(lines) if rules.begin.match(line[:LONGEST_LINE])]
    around: list[tuple[int, bool]] = []
    """The last line and whether it holds others, for each definition that is open."""
    for place, number in enumerate(found):
        while around and around[-1][0] < number:
            around.pop()
        if around and not around[-1][1]:
            continue
        last = _last_line(lines, number, found[place + 1 :], rules)
        first = number
        while first and lines[first - 1].lstrip().startswith(rules.comment) and not lines[first - 1].startswith("#!"):
            first -= 1
        title = " ".join(lines[number].split())[:LONGEST_TITLE].rstrip(" {(")
        holds = title.partition(" ")[0] in rules.holds.split()
        yield CodeBlock(starts[first], min(starts[last + 1], length), len(around) + 2, title, holds)
        around.append((last, holds))


def _last_line(lines: list[str], number: int, later: list[int], rules: Form) -> int:
    indent = _indent(lines[number])
    if rules.close.match(lines[number]):  # all of it stands on one line
        return number
    following = next((each for each in later if _indent(lines[each]) <= indent), len(lines))
    for place in range(number + 1, following):
        if _indent(lines[place]) == indent and rules.close.match(lines[place][:LONGEST_LINE]):
            return place
    return following - 1


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
