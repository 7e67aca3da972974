"""Source code is cut at its classes and functions, each chunk under the path that leads to it; nothing is lost."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.context.reading.chunk import Cut, chunk
from gateway.context.reading.formats.code import BRACES, code_document
from gateway.context.reading.readers import read
from gateway.exchange import Chunk

PYTHON = '''"""About this."""

import os

LIMIT = 3


# what a keeper is
@final
class Keeper(Base):
    """Keeps."""

    name = "x"

    def open(self) -> None:
        if self.name:
            print("open")

        self.shut = False

    level = 2

    async def close(self) -> None: ...


def main() -> None:
    def inner() -> int:
        return 1

    print(inner())


if __name__ == "__main__":
    main()
'''
TYPESCRIPT = """import { a } from './a';

/** Keeps { things }. */
export class Keeper extends Base {
  private name = "}{";

  // opens it
  open(door: Door = {wide: true}): void {
    if (this.name) { log(`${this.name} {`); }
  }
}

function main() {
  return new Keeper();
}
const limits = { low: 1 };
main();
"""
GO = """package keep

import "fmt"

type Keeper struct {
	name string
}

// Open opens.
func (k *Keeper) Open() error {
	for i := 0; i < 3; i++ {
		fmt.Println(k.name)
	}
	return nil
}
"""
C = """#include <stdio.h>
#define BEGIN {

struct keeper { int id; };

static int open_it(struct keeper *k)
{
    if (k) { return 1; }
    return '{';
}
"""


def words(text: str) -> int:
    return len(text.split())


def cut(text: str, name: str, limit: int = 60) -> list[Chunk]:
    suffix = name[name.rindex(".") :]
    return chunk(code_document(text, name, suffix), "c", name, words, Cut(limit), 512)


def outline(text: str, name: str) -> list[tuple[str, str]]:
    """Heading and first line of each chunk."""
    return [(piece.heading, piece.text.split("\n")[0]) for piece in cut(text, name)]


def test_python_is_cut_at_its_definitions() -> None:
    assert outline(PYTHON, "keep.py") == [
        ("keep.py", '"""About this."""'),
        ("keep.py > class Keeper", "# what a keeper is"),
        ("keep.py > class Keeper > def open", "def open(self) -> None:"),
        ("keep.py > class Keeper", "level = 2"),
        ("keep.py > class Keeper > def close", "async def close(self) -> None: ..."),
        ("keep.py > def main", "def main() -> None:"),
        ("keep.py", 'if __name__ == "__main__":'),
    ]


def test_braces_in_texts_comments_and_arguments_are_none() -> None:
    assert outline(TYPESCRIPT, "keep.ts") == [
        ("keep.ts", "import { a } from './a';"),
        ("keep.ts > export class Keeper extends Base", "/** Keeps { things }. */"),
        ("keep.ts > export class Keeper extends Base > open(door: Door = {}): void", "// opens it"),
        ("keep.ts > function main()", "function main() {"),
        ("keep.ts > const limits", "const limits = { low: 1 };"),
        ("keep.ts", "main();"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "paths"),
    [
        ("keep.go", GO, ["", "type Keeper struct", "func (k *Keeper) Open() error"]),
        ("keep.c", C, ["", "struct keeper", "static int open_it(struct keeper *k)"]),
    ],
)
def test_other_languages_are_cut_at_their_blocks(name: str, text: str, paths: list[str]) -> None:
    assert [heading for heading, _ in outline(text, name)] == [" > ".join(filter(None, (name, path))) for path in paths]


def test_a_long_function_is_cut_at_blank_lines() -> None:
    body = "\n\n".join(f"    step_{n}(one, two)\n    log({n})" for n in range(20))
    pieces = cut(f"def run():\n{body}\n", "run.py", limit=12)
    assert {piece.heading for piece in pieces} == {"run.py > def run"}
    assert all(piece.text.startswith(("def run", "step_")) and piece.text.endswith(")") for piece in pieces)


@pytest.mark.parametrize("text", ["def broken(:\n    pass\n", "x = 1\n" * 3, "\0", "def f(): pass\n" + "(" * 5000])
def test_what_is_no_python_has_the_files_name_alone(text: str) -> None:
    assert {piece.heading for piece in cut(text, "a.py")} <= {"a.py"}


def test_a_file_of_code_is_read_so(tmp_path: Path) -> None:
    path = tmp_path / "keep.py"
    path.write_text(PYTHON)
    assert [heading.title for heading in read(path).headings][:2] == ["keep.py", "class Keeper"]


LINES = st.sampled_from(
    ["class A:", "    def f(self):", "        return 1", "def g(): pass", "@d", "# c", "", "x = '''", "'''", "}", "{",
     "class B { int f() {", "fn x() {", "} }", "if (a) {", "// {", "\"{\"", ";", "#define X {", "func y(z) { return; }",
     "名 = 1", "\tint a[] = {1,", "/*", "*/", "`${", "\x0c", "async def h():", "    pass", "export default {"]
)  # fmt: skip
SOURCES = st.one_of(st.lists(LINES, max_size=40).map("\n".join), st.text(max_size=200))


@given(SOURCES, st.sampled_from(["a.py", *(f"a{suffix}" for suffix in sorted(BRACES))]), st.integers(3, 60))
def test_no_character_is_lost_and_every_chunk_is_its_span(text: str, name: str, limit: int) -> None:
    document = code_document(text, name, name[1:])
    starts = [heading.start for heading in document.headings]
    assert starts == sorted(starts)
    pieces = cut(text, name, limit)
    assert [piece.text for piece in pieces] == [text[piece.start : piece.end] for piece in pieces]
    ends, begins = [0, *(piece.end for piece in pieces)], [*(piece.start for piece in pieces), len(text)]
    assert all(text[end:begin].strip() == "" for end, begin in zip(ends, begins, strict=True))
