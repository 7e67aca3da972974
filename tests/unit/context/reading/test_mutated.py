"""Damaged files are read or refused; none crashes a reader or keeps it."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.context.reading.parse_process import ParseProcess
from gateway.errors import CollectionError
from tests.doubles.documents import epub, ods, odt, pdf, pptx, xlsx

ROWS = [["Country", "Limit"], *[[f"Land{row}", row] for row in range(20)]]
FILES = {
    "a.xlsx": xlsx({"Limits": ROWS}),
    "a.ods": ods(ROWS),
    "a.pptx": pptx([("Plan", "Start in May", "Ask Mira.")], ROWS),
    "a.odt": odt("<text:h>Travel</text:h><text:p>By train.</text:p>"),
    "a.epub": epub("Birds", {"one.xhtml": "<h1>Herons</h1><p>They wade.</p>"}),
    "a.pdf": pdf([(f"Line {row}", 72, 700 - 14 * row, 10) for row in range(20)]),
    "a.rtf": rb"{\rtf1\ansi Caf\'e9 \trowd a\cell b\cell\row\par}",
    "a.html": b"<main><h1>Herons</h1><table><tr><th>a<th>b<tr><td>1<td>2</table></main>",
    "a.eml": b"From: a@b\nSubject: x\nContent-Type: multipart/mixed; boundary=B\n\n--B\n\nText\n--B--\n",
    "a.json": b'{"users": [{"name": "Ada"}, {"name": "Bob"}]}',
    "a.csv": "Ort;Größe\nKöln;5\n".encode("cp1252"),
}
EACH = 6


@pytest.fixture(scope="module")
def parse() -> Iterator[ParseProcess]:
    opened = ParseProcess(time_s=20.0)
    yield opened
    opened.close()


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_are_read_or_refused(parse: ParseProcess, tmp_path: Path, name: str) -> None:
    draw = random.Random(name)
    path = tmp_path / name
    for _ in range(EACH):
        path.write_bytes(damaged(FILES[name], draw))
        try:
            parse(path)
        except CollectionError as error:
            assert "longer than" not in str(error)
            assert "crashed" not in str(error)


def damaged(content: bytes, draw: random.Random) -> bytes:
    raw = bytearray(content)
    for _ in range(draw.randint(1, 6)):
        place = draw.randrange(len(raw))
        size = draw.choice((1, 8, 64))
        raw[place : place + size] = draw.choice((b"", draw.randbytes(size), bytes(raw[place : place + size]) * 3))
        raw = raw or bytearray(b"x")
    return bytes(raw)
