"""Finds the literal pieces of a text: links, numbers, quotations and code.

The time of every search is linear in the length of the text. `guards.py` checks that the pieces survive; `finders.py`
and `payload.py` fill slots with them.
"""

import re
from typing import NamedTuple


class Fence(NamedTuple):
    """A code block [start, end), and the code inside it [body_start, body_end)."""

    start: int
    end: int
    body_start: int
    body_end: int


_FENCE_LINE = re.compile(r"^[ \t]{0,3}(```+|~~~+)([^\n`]*)$", re.MULTILINE)


def fences(text: str) -> list[Fence]:
    """Return the closed code blocks of a text, in one pass. An unclosed fence is plain text."""
    blocks: list[Fence] = []
    opened: re.Match[str] | None = None
    for line in _FENCE_LINE.finditer(text):
        if opened is None:
            opened = line
        elif line[1].startswith(opened[1]) and not line[2].strip():
            body_start = min(opened.end() + 1, line.start())
            blocks.append(Fence(opened.start(), line.end(), body_start, max(body_start, line.start() - 1)))
            opened = None
    return blocks


STATEMENT_END = (
    r"(?:[=\[{}$]|\w\((?!e?s\))|::)[^\n]{0,120};[ \t]*$|"
    r"^[ \t]*(?:break|continue|end|[A-Z]{3,}[ \t][^\n;]{1,120}|\w+(?:\+\+|--)|"
    r"(?:return|int|char|float|double|bool|void|long|auto|var|let|const)[ \t]+[\w.-]+);[ \t]*$"
)
"""A semicolon at the end of a line of code, with `re.MULTILINE`. In prose it ends a clause, so the line must have
another sign of code, or be a statement of one or two words. The repetitions are short, so that the search stays linear.
"""
INLINE_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_STOPS = r"\s<>\"'`，。；、！？）】」』》"
URL = re.compile(rf"\b(?:https?|ftp)://[^{_STOPS}]*[^{_STOPS}.,;:!?)\]]", re.IGNORECASE)
EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@\w[\w-]*(?:\.[\w-]+)+", re.ASCII)

# 'Single' quotes count only if they cannot be apostrophes: after a blank or at the start, and before no letter.
QUOTED = re.compile(
    r'"([^"\n]+)"|“([^“”]+)”|‘([^‘’]+)’|«([^«»]+)»|「([^「」]+)」|『([^『』]+)』'
    r"|(?<![^\s(:：,，])'((?:[^'\n]|(?<=\w)'(?=\w))+)'(?!\w)"
)
TITLE = re.compile(r"《[^《》]+》|〈[^〈〉]+〉")

NUMBER = re.compile(r"[-+]?(?<![A-Za-z\d_.])[$€£¥]?\d+(?:[.,:/]\d+)*(?:\s?[%‰°]|(?:st|nd|rd|th)\b)?", re.ASCII)
_WORD = r"[A-Z][\w'’-]*"
_SUFFIX = r"py|js|ts|md|txt|json|csv|pdf|go|rs|c|h|java|sql|html|ya?ml|toml|sh"
# Capitalised words inside a sentence, words with capitals or digits inside, identifiers, paths.
NAME = re.compile(
    rf"(?<=[a-z0-9,;)\]'’\"”] )(?!I\b|I'|I’){_WORD}(?: (?:(?:of|de|van|von|la|the) )?{_WORD})*"
    r"|\b[A-Za-z]*[a-z][A-Z]\w*|\b[A-Z]{2,}\w*|\b[A-Za-z]+-?\d[\w.-]*\w|\b[A-Za-z]+\d\b|\b\w+_\w+"
    rf"|(?<![\w.~-])[\w.~-]*/[\w./-]*\w|\b\w+\.(?:{_SUFFIX})\b|[@#]\w+"
)
PLACEHOLDER = re.compile(
    r"\{\{[^{}\n]*\}\}|\{[A-Za-z_]\w*\}|<[A-Za-z/][^<>\n]*>|\[[A-Z][A-Z _]+\]|\$\{[^{}\n]*\}|%[sd]\b"
)
