"""Reads reStructuredText, LaTeX and subtitles."""

import re
from pathlib import Path

from gateway.context.reading.document import Document, Heading
from gateway.context.reading.formats.markdown import decode, structure, text_report, with_comments
from gateway.context.reading.writer import DocumentWriter

UNDERLINE = re.compile(r"([=\-~^\"'`#*+.:_])\1{2,}[ \t]*$")
LATEX = re.compile(r"[ \t]*\\(part|chapter|section|subsection|subsubsection|paragraph)\*?(?:\[[^\]\n]{0,200}\])?\{")
LATEX_LEVELS = {"part": 1, "chapter": 1, "section": 2, "subsection": 3, "subsubsection": 4, "paragraph": 5}
COMMENT = re.compile(r"(?<!\\)(?:\\\\)*%.*")
VERBATIM = re.compile(r"\\begin\{(verbatim\*?|lstlisting|minted|Verbatim|filecontents\*?)\}")
LONGEST_LINE = 1000
TIMES = re.compile(r"(\d{1,3}:)?(\d{1,2}:\d{2})[.,]\d{1,3} --> ")
TAG = re.compile(r"<[^<>]{0,200}>")


def read_rst(path: Path, raw: bytes) -> Document:
    """Read reStructuredText. A heading is a line of text above a line that repeats one character. The first such
    character in the file marks the highest level, the next new character marks the level below, and so on.
    """
    text = decode(path, raw)
    lines = text.text.split("\n")
    levels: dict[str, int] = {}
    headings, start = [], 0
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        mark = UNDERLINE.match(below) if len(below) <= LONGEST_LINE else None
        if mark and line.strip() and len(below.strip()) >= len(line.strip()) and not UNDERLINE.match(line):
            level = levels.setdefault(mark[1], min(len(levels) + 1, 6))
            headings.append(Heading(start, level, line.strip()))
        start += len(line) + 1
    leads, records = structure(text.text)
    return Document(text.text, tuple(headings), leads=leads, records=records, report=text_report("RST", text))


def read_latex(path: Path, raw: bytes) -> Document:
    decoded = decode(path, raw)
    text, comments = _without_comments(decoded.text)
    headings, start = [], 0
    for line in text.split("\n"):
        if (command := LATEX.match(line[:LONGEST_LINE])) and (title := _braced(line, command.end())):
            headings.append(Heading(start, LATEX_LEVELS[command[1]], title))
        start += len(line) + 1
    return Document(text, tuple(headings), report=with_comments(text_report("LaTeX", decoded), comments))


def _without_comments(text: str) -> tuple[str, int]:
    """Remove comments outside verbatim text. Returns the text and the number of comments."""
    lines: list[str] = []
    end, count = "", 0
    for line in text.split("\n"):
        if not end and (begin := VERBATIM.search(line)):
            end = f"\\end{{{begin[1]}}}"
        if end:
            end = "" if end in line else end
            lines.append(line)
            continue
        bare = COMMENT.sub("", line)
        count += bare != line
        if bare == line or bare.strip():
            lines.append(bare)
    return "\n".join(lines), count


def _braced(line: str, start: int) -> str:
    """Return the text from `start` to the matching closing brace."""
    depth = 1
    for place in range(start, min(len(line), start + LONGEST_LINE)):
        depth += (line[place] == "{") - (line[place] == "}")
        if not depth:
            return line[start:place].strip()
    return ""


def read_subtitles(path: Path, raw: bytes) -> Document:
    """Write each cue of the subtitles as a line with its start time."""
    text = decode(path, raw)
    report = text_report("subtitles", text)
    writer = DocumentWriter()
    for cue in text.text.split("\n\n"):
        lines = cue.strip().split("\n")
        place = next((number for number, line in enumerate(lines[:3]) if TIMES.match(line.strip())), -1)
        if place < 0:
            continue
        time = TIMES.match(lines[place].strip())
        words = " ".join(TAG.sub("", line).strip() for line in lines[place + 1 :])
        if time and words.strip():
            writer.record(f"[{time[1] or ''}{time[2]}] {words.strip()}")
    for what in report.left_out:
        writer.leave_out(what)
    return writer.document("subtitles", report.encoding, report.certainty)
