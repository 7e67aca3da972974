"""Reads Markdown and plain text. Finds the headings, and the lines that each chunk of a list or table repeats."""

import re
from pathlib import Path

from msgspec.structs import replace

from gateway.context.reading.document import Document, Heading, Lead, ReadReport, Span
from gateway.context.reading.encodings import DecodedText, UnknownEncoding, decoded
from gateway.context.reading.writer import left_out
from gateway.errors import CollectionError

HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(?=[^ \t])")
FENCE = re.compile(r" {0,3}(```+|~~~+)")
ITEM = re.compile(r"[ \t]*(?:[-*+•]|\d{1,4}[.)])[ \t]")
RULE = re.compile(r" {0,3}\|?[ \t]*:?-+:?[ \t|:-]*$")
CAPTION = re.compile(r"(?:\*\*|__)?(?:Table|Tabelle|Tableau|Tabla|Tabela|Таблица|表)\b", re.IGNORECASE)
LONGEST_LEAD = 300
SURE = 0.99


def read_text(path: Path, raw: bytes) -> Document:
    text = decode(path, raw)
    leads, records = structure(text.text)
    return Document(text.text, leads=leads, records=records, report=text_report("text", text))


def read_markdown(path: Path, raw: bytes) -> Document:
    source = decode(path, raw)
    text, comments = _without_comments(source.text)
    leads, records = structure(text)
    headings = tuple(markdown_headings(text))
    report = with_comments(text_report("Markdown", source), comments)
    return Document(text, headings, leads=leads, records=records, report=report)


def decode(path: object, raw: bytes) -> DecodedText:
    """Decode bytes to text with uniform line endings. Raises `CollectionError` for binary data."""
    try:
        text = decoded(raw)
    except UnknownEncoding:
        raise CollectionError(f"{path}: is a binary file of a kind that cannot be read") from None
    return DecodedText(same_lines(text.text), text.encoding, text.certainty, text.replaced)


def same_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def text_report(kind: str, text: DecodedText) -> ReadReport:
    missing = (f"characters that are not valid {text.encoding} ({text.replaced})",) if text.replaced else ()
    return ReadReport(kind, encoding=text.encoding, certainty=text.certainty, left_out=missing)


def with_comments(report: ReadReport, count: int) -> ReadReport:
    """Add the comments of a source text to what was left out."""
    return replace(report, left_out=(*report.left_out, *left_out({"comments": count}))) if count else report


def _without_comments(text: str) -> tuple[str, int]:
    """Remove HTML comments outside code blocks. Returns the text and the number of comments."""
    lines: list[str] = []
    fence, inside, count = "", False, 0
    for line in text.split("\n"):
        if not inside and (mark := FENCE.match(line)):
            fence = "" if fence and mark[1].startswith(fence) else fence or mark[1]
        if fence or (not inside and "<!--" not in line):
            lines.append(line)
            continue
        bare, inside, ended = _outside(line, inside)
        count += ended
        if bare.strip():
            lines.append(bare)
    return ("\n".join(lines), count) if not inside else (text, 0)


def _outside(line: str, inside: bool) -> tuple[str, bool, int]:
    """Return the part of a line outside comments, whether a comment goes on after it, and how many ended in it."""
    parts, ended = [], 0
    while line:
        before, mark, line = line.partition("-->" if inside else "<!--")
        if not inside:
            parts.append(before)
        elif mark:
            ended += 1
        inside = inside != bool(mark)
    return "".join(parts), inside, ended


def markdown_headings(text: str) -> list[Heading]:
    """Return the `#` headings outside code blocks."""
    headings = []
    start = 0
    fence = ""
    for line in text.split("\n"):
        mark = FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence):
                fence = ""
        elif mark:
            fence = mark[1]
        elif heading := HEADING.match(line):
            headings.append(Heading(start, len(heading[1]), _title(line[heading.end() :])))
        start += len(line) + 1
    return headings


def _title(text: str) -> str:
    """Remove the closing `#` signs of a heading. No regular expression is used, since its time would grow with the
    square of the line's length.
    """
    text = text.rstrip(" \t")
    bare = text.rstrip("#")
    return bare.rstrip(" \t") if not bare or bare[-1] in " \t" else text


def structure(text: str) -> tuple[tuple[Lead, ...], tuple[Span, ...]]:
    """Return the leads and the records of a text. A lead is text that each chunk of a list or table repeats. A record
    is text that stays whole.

    A list has a lead if the line above it ends with a colon. That line is the lead. The lead of a pipe table is its
    caption and its title row. Each other row of the table is a record.
    """
    leads: list[Lead] = []
    records: list[Span] = []
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    number = 0
    while number < len(lines):
        if _begins_table(lines, number):
            end = _table_end(lines, number + 2)
            first = max(0, number - 1 - (number > 1 and not lines[number - 1].strip()))
            caption = [lines[first].strip()] if CAPTION.match(lines[first]) and first < number else []
            head = "\n".join([*caption, lines[number].strip(), lines[number + 1].strip()])
            leads.append(Lead(starts[number + 2], starts[end] - 1, head))
            records += [(starts[row], starts[row + 1] - 1) for row in range(number + 2, end)]
            number = end
        elif _begins_list(lines, number):
            first = number + 1 + (not lines[number + 1].strip())
            end = _list_end(lines, first)
            leads.append(Lead(starts[first], starts[end] - 1, lines[number].strip()))
            number = end
        else:
            number += 1
    return tuple(leads), tuple(records)


def _begins_table(lines: list[str], number: int) -> bool:
    if number + 2 >= len(lines) or "|" not in lines[number] or "|" not in lines[number + 2]:
        return False
    rule = lines[number + 1]
    return len(rule) < 2000 and "-" in rule and "|" in rule and not rule.strip(" \t|:-")


def _table_end(lines: list[str], number: int) -> int:
    while number < len(lines) and "|" in lines[number] and lines[number].strip():
        number += 1
    return number


def _begins_list(lines: list[str], number: int) -> bool:
    line = lines[number].rstrip()
    if not line.endswith((":", "：")) or len(line) > LONGEST_LEAD or number + 1 >= len(lines):
        return False
    below = number + 1 + (not lines[number + 1].strip())
    return below < len(lines) and ITEM.match(lines[below]) is not None


def _list_end(lines: list[str], number: int) -> int:
    """Return the number of the first line after a list. The continuation lines of an item belong to the list, and so do
    single empty lines between items.
    """
    end = number
    while number < len(lines):
        line = lines[number]
        if ITEM.match(line) or (line.startswith((" ", "\t")) and line.strip()):
            end = number + 1
        elif line.strip() and not (lines[number - 1].strip() and number == end):
            break
        elif line.strip():
            end = number + 1
        elif not lines[number - 1].strip():
            break
        number += 1
    return end
