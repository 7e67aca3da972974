"""No file of a few hundred kilobytes keeps a parser long, whatever pattern it repeats."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.context.reading.chunk import Cut, chunk
from gateway.context.reading.parse_process import ParseProcess
from gateway.errors import CollectionError

SIZE = 128_000
BOUND_S = 20.0
"""A pattern whose time grows with the square of the size takes minutes."""
INPUTS = {
    "heading.md": "######" + " " * (SIZE // 2) + "x" + "#" * (SIZE // 2) + "y",
    "hashes.md": "# " + "# #" * (SIZE // 3),
    "fences.md": "```\n~~~\n" * (SIZE // 8),
    "colons.md": "a:\n- b\n" * (SIZE // 7),
    "pipes.md": "|-" * (SIZE // 4) + "\n" + "|-" * (SIZE // 4) + "\n|",
    "bars.md": "a|b\n-|-\n" * (SIZE // 8),
    "spaces.txt": "a" + " " * SIZE + "b",
    "lines.txt": "\n \t" * (SIZE // 3) + "x",
    "parentheses.txt": "(" * SIZE,
    "letters.txt": "a\n" * (SIZE // 2),
    "quotes.txt": '.")' * (SIZE // 3),
    "one-bad-byte.txt": "a" * SIZE + "\udce9",
    "escapes.txt": "~{aa" * (SIZE // 4) + "\udce9",
    "nested.html": "<div>" * (SIZE // 5),
    "lists.html": "<ul><li>a:" * (SIZE // 10),
    "tables.html": "<table><tr><td>" * (SIZE // 15),
    "menus.html": "<div class=menu><a>x</a>" * (SIZE // 24),
    "angles.html": "<" * SIZE,
    "comments.html": "<!--" * (SIZE // 4),
    "style.html": "<p style='" + "display " * (SIZE // 8) + "'>x",
    "braces.js": "{" * SIZE,
    "functions.js": "f(){}" * (SIZE // 5),
    "classes.java": "class A{" * (SIZE // 8),
    "words.c": "a " * (SIZE // 2) + "(){}",
    "indents.py": "".join(" " * depth + "if x:\n" for depth in range(90)) + " " * 90 + "x\n" * (SIZE // 10),
}


@pytest.fixture(scope="module")
def parse() -> Iterator[ParseProcess]:
    opened = ParseProcess(time_s=BOUND_S)
    yield opened
    opened.close()


@pytest.mark.parametrize("name", INPUTS)
def test_a_repeated_pattern_does_not_keep_the_parser(parse: ParseProcess, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(INPUTS[name].encode("utf-8", "surrogateescape"))
    counted = 0

    def words(text: str) -> int:
        nonlocal counted
        counted += len(text)
        return len(text.split())

    try:
        document = parse(path)
    except CollectionError as error:
        assert "longer than" not in str(error)
        return
    chunk(document, "c", name, words, Cut(), 256)
    assert counted < 300 * len(document.text) + 1_000_000
