"""Reads source code. The file's name is the top heading. Each class or function is a heading below it.

Python's own parser reads Python. In languages with braces, a lexer finds the braces outside strings and comments. The
text before a brace is the title of its block. `definitions.py` reads languages whose blocks are told by lines. A file
in any other language has only the top heading, and is cut into chunks at blank lines.
"""

import ast
import re
import warnings
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gateway.context.reading.document import Document, Heading, ReadReport
from gateway.context.reading.formats.code_block import LONGEST_TITLE, CodeBlock
from gateway.context.reading.formats.definitions import FORMS, line_blocks
from gateway.context.reading.formats.markdown import decode, text_report

LINE_ENDS = frozenset((".go", ".groovy", ".js", ".jsx", ".kt", ".kts", ".mjs", ".scala", ".swift", ".ts", ".tsx"))
"""Suffixes of languages in which the end of a line ends a statement."""
BRACES = LINE_ENDS | frozenset(
    (".c", ".cc", ".cpp", ".cs", ".cxx", ".dart", ".h", ".hh", ".hpp", ".java", ".m", ".php", ".rs")
)
PYTHON = frozenset((".py", ".pyi"))
CODE = ReadReport("code")
MOST_CHARS = 1_000_000
"""A file with more characters than this is not split into blocks. Such files are usually data or generated code, and a
lexer needs a second for each million characters.
"""

HOLDS_OTHERS = re.compile(
    r"^[^(]*\b(?:class|interface|struct|enum|trait|impl|namespace|module|mod|object|extension|protocol|union|record)\b"
)
STEERS = re.compile(
    r"(?:if|else|for|foreach|while|do|switch|match|when|select|try|catch|finally|using|lock|synchronized|return|guard"
    r"|unsafe|loop|import)\b|export$"
)
GOES_ON = tuple(",=>&|+.<:(")
WORD = re.compile(r"\w")
NEWLINE = re.compile(r"\n")
MOST_PIECES = 200
"""At most this many tokens of the header before a block are kept. The title of the block needs fewer."""
MOST_INDENT = 1000
DEEPEST = 8
"""Blocks that are nested more deeply than this get no heading."""
BEHIND = re.compile(r"[ \t]*[;,)]*")


def read_code(path: Path, raw: bytes) -> Document:
    text = decode(path, raw)
    return code_document(text.text, path.name, path.suffix.lower(), text_report("code", text))


def code_document(text: str, name: str, suffix: str, report: ReadReport = CODE) -> Document:
    blocks: list[CodeBlock] = []
    if len(text) <= MOST_CHARS:
        blocks = _blocks(text, name, suffix)
    return Document(text, tuple(_headings(text, name, blocks)), report=report)


def _blocks(text: str, name: str, suffix: str) -> list[CodeBlock]:
    if suffix in PYTHON:
        return python_blocks(text)
    return line_blocks(text, suffix) if suffix in FORMS else brace_blocks(text, name)


def python_blocks(text: str) -> list[CodeBlock]:
    """Return the classes, and the functions that are not inside another function. The list is empty if the text is not
    valid Python.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    lines = [0]
    for line in text.split("\n"):
        lines.append(lines[-1] + len(line) + 1)
    return list(_defined(tree, lines, text.split("\n"), 2))


def _defined(node: ast.AST, lines: Sequence[int], texts: Sequence[str], level: int) -> Iterator[CodeBlock]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([child.lineno, *(decorator.lineno for decorator in child.decorator_list)]) - 1
            while first and texts[first - 1].lstrip().startswith("#"):
                first -= 1
            kind = "class" if isinstance(child, ast.ClassDef) else "def"
            last = child.end_lineno or child.lineno
            yield CodeBlock(
                lines[first], min(lines[last], lines[-1] - 1), level, f"{kind} {child.name}", kind == "class"
            )
            if kind == "class":
                yield from _defined(child, lines, texts, level + 1)
        elif isinstance(child, ast.stmt | ast.excepthandler):  # finds definitions under `if` and `try`
            yield from _defined(child, lines, texts, level)


def brace_blocks(text: str, name: str) -> list[CodeBlock]:
    """Return the blocks in braces that have a header. A block must be at the top level, or directly inside a class, a
    namespace or a similar block. The list is empty if no lexer knows the file's name.
    """
    from pygments.lexers import get_lexer_for_filename
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_for_filename(name)
    except ClassNotFound:
        return []
    reader = _Braces(text, Path(name).suffix.lower() in LINE_ENDS)
    for index, kind, value in lexer.get_tokens_unprocessed(text):
        reader.add(index, kind, value)
    return reader.blocks()


class _Braces:
    """Finds the blocks in the tokens of a file. The tokens since the last statement are kept, since they may be the
    header of the next block.
    """

    def __init__(self, text: str, line_ends: bool) -> None:
        self._text = text
        self._line_ends = line_ends
        self._open: list[tuple[int, int, list[str], int, bool]] = []
        """One entry for each open brace. An entry holds the header before the brace (its depth in parentheses, its
        start and its tokens), the index of the block or -1, and whether blocks inside the brace get a heading.
        """
        self._lines = [-1, *(match.start() for match in NEWLINE.finditer(text))]
        self._blocks: list[CodeBlock] = []
        self._inner = 0
        self._next()

    def _next(self) -> None:
        self._lead = -1
        self._header: list[str] = []
        self._blank = 0

    def add(self, index: int, kind: Any, value: str) -> None:
        from pygments.token import Comment, Punctuation

        if value.isspace():
            self._space(value)
        elif kind in Comment.Preproc or kind in Comment.PreprocFile:
            self._next()
        elif kind in Punctuation:
            for place, sign in enumerate(value, index):
                self._sign(place, sign)
        else:
            self._lead = index if self._lead < 0 else self._lead
            self._blank = len(value) - len(value.rstrip("\n"))
            if kind not in Comment:
                self._gather(value)

    def _space(self, value: str) -> None:
        """Handle white space. A blank line ends a comment or a statement. In the languages of `LINE_ENDS`, the end of a
        line also ends a statement.
        """
        self._blank += value.count("\n")
        ends = self._line_ends and "\n" in value and self._is_statement()
        if not self._inner and (self._blank > 1 or ends):
            self._next()
        elif self._header:
            self._gather(" ")

    def _is_statement(self) -> bool:
        words = [piece for piece in (self._header[0:1] + self._header[-2:]) if not piece.isspace()]
        return bool(words) and not words[-1].endswith(GOES_ON) and not words[0].startswith("@")

    def _gather(self, piece: str) -> None:
        """Add a token to the header. The first tokens form the title, and the last token shows whether the header
        continues. In a full header, the new token therefore replaces the last one.
        """
        if len(self._header) >= MOST_PIECES:
            self._header.pop()
        self._header.append(piece)

    def _sign(self, place: int, sign: str) -> None:
        if sign == "{":
            self._begin(place)
        elif sign == "}":
            self._end(place)
        elif sign == ";" and not self._inner:
            self._next()
        else:
            self._inner += (sign in "([") - (sign in ")]")
            self._lead = place if self._lead < 0 else self._lead
            self._blank = 0
            self._gather(sign)

    def _begin(self, place: int) -> None:
        title = " ".join("".join(self._header).split())[:LONGEST_TITLE].rstrip(" =:")
        outside = not self._open or self._open[-1][-1]
        holds = bool(HOLDS_OTHERS.match(title))
        named = title and not STEERS.match(title) and (not self._open or holds or "(" in title)
        number = -1
        if outside and named and not self._inner:
            number = len(self._blocks)
            block = CodeBlock(self._line_start(), len(self._text), len(self._open) + 2, title, holds)
            self._blocks.append(block)
        inside = outside and number >= 0 and holds and len(self._open) < DEEPEST
        self._open.append((self._inner, self._lead, self._header, number, inside))
        self._inner = 0
        self._next()

    def _line_start(self) -> int:
        """Return the start of the header's line if only white space precedes the header, or else the start of the
        header.
        """
        start = self._lines[bisect_left(self._lines, self._lead) - 1] + 1
        blank = self._lead - start <= MOST_INDENT and not self._text[start : self._lead].strip()
        return start if blank else self._lead

    def _end(self, place: int) -> None:
        if not self._open:
            return
        self._inner, lead, header, number, _ = self._open.pop()
        if number >= 0:
            block = self._blocks[number]
            behind = BEHIND.match(self._text, place + 1)
            end = behind.end() if behind else place + 1
            self._blocks[number] = CodeBlock(block.start, end, block.level, block.title, block.holds)
        self._next()
        if self._inner:
            self._lead, self._header = lead, [*header, "{}"]

    def blocks(self) -> list[CodeBlock]:
        return self._blocks


def _headings(text: str, name: str, blocks: Sequence[CodeBlock]) -> list[Heading]:
    """Make a heading at the start of each block. Where text follows a block, repeat the heading of the enclosing block
    before that text.
    """
    headings = [Heading(0, 1, name, own_line=False)]
    around = [CodeBlock(0, len(text), 1, name)]
    for block in [*blocks, CodeBlock(len(text), len(text), 0, "")]:
        while len(around) > 1 and around[-1].end <= block.start:
            closed = around.pop()
            # a closing brace on its own line stays with its block
            if WORD.search(text, closed.end, min(block.start, around[-1].end)):
                headings.append(Heading(closed.end, around[-1].level, around[-1].title, own_line=False))
        if block.level:
            # the first line of a class is joined with its first method
            first = text.find("\n", block.start, block.end)
            alone = block.holds and 0 < first < block.end - 1
            headings.append(Heading(block.start, block.level, block.title, own_line=alone))
            around.append(block)
    return headings
