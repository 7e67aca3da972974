"""Text in scanned pages and pictures is recognised if the configuration asks for it, and reported otherwise."""

import io
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import pypdfium2
import pytest

from gateway.adapters import problems_of
from gateway.context.reading.formats.pdf.recognised import laid_out
from gateway.context.reading.parse_process import ParseProcess
from gateway.context.reading.readers import read
from gateway.context.reading.recognition import PictureWord, Recognition
from gateway.context.reading.summary import summary_lines
from gateway.errors import CollectionError, Problem
from gateway.settings.read import read_file
from tests.doubles.documents import pdf

ENGLISH = Recognition(("eng",), 60.0)
NOTES = [("The chimney was swept in October.", 72, 700, 16), ("Two joists show beetle holes.", 72, 660, 16)]
needs_tesseract = pytest.mark.skipif(shutil.which("tesseract") is None, reason="the program tesseract is not installed")


def drawn(*lines: tuple[str, float, float, float]) -> Any:
    """A picture of a page with these lines."""
    with pypdfium2.PdfDocument(pdf(list(lines))) as document:
        return document[0].render(scale=2, grayscale=True)


def png(bitmap: Any) -> bytes:
    rows = [
        b"\0" + bytes(bitmap.buffer)[row * bitmap.stride : row * bitmap.stride + bitmap.width]
        for row in range(bitmap.height)
    ]

    def part(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", bitmap.width, bitmap.height, 8, 0, 0, 0, 0)
    parts = part(b"IHDR", head) + part(b"IDAT", zlib.compress(b"".join(rows))) + part(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.fixture
def scanned(tmp_path: Path) -> Path:
    """A letter whose second page is a scan."""
    with pypdfium2.PdfDocument(pdf([("The letter of the surveyor.", 72, 700, 10)])) as document:
        page = document.new_page(612, 792)
        picture = pypdfium2.PdfImage.new(document)
        picture.set_bitmap(drawn(*NOTES))
        picture.set_matrix(pypdfium2.PdfMatrix().scale(612, 792))
        page.insert_obj(picture)
        page.gen_content()
        content = io.BytesIO()
        document.save(content)
    path = tmp_path / "letter.pdf"
    path.write_bytes(content.getvalue())
    return path


@needs_tesseract
def test_a_scanned_page_is_recognised_in_the_bounded_process(scanned: Path) -> None:
    parse = ParseProcess(recognition=ENGLISH)
    try:
        document = parse(scanned)
    finally:
        parse.close()

    first, second = document.pages
    assert document.text[first:second].strip() == "The letter of the surveyor."
    assert document.text[second:].split("\n\n") == [line[0] for line in NOTES]
    assert document.headings == ()
    assert (document.report.left_out, document.report.recognised) == ((), 1)
    assert summary_lines(document.report) == ["2 pages, 1 picture, text of 1 picture recognised"]


@needs_tesseract
def test_a_picture_is_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "notes.png"
    path.write_bytes(png(drawn(*NOTES)))

    document = read(path, recognition=ENGLISH)

    assert document.text == "\n\n".join(line[0] for line in NOTES)
    assert (document.report.kind, document.report.recognised) == ("picture", 1)


@needs_tesseract
def test_a_picture_that_claims_to_be_huge_is_refused_within_the_limit_of_memory(tmp_path: Path) -> None:
    content = bytearray(png(drawn(*NOTES)))
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path = tmp_path / "notes.png"
    path.write_bytes(content)
    parse = ParseProcess(recognition=ENGLISH)
    try:
        with pytest.raises(CollectionError, match=r"notes\.png: is a picture; its text could not be recognised"):
            parse(path)
    finally:
        parse.close()


@needs_tesseract
def test_a_language_without_data_is_named_in_the_report(scanned: Path) -> None:
    report = read(scanned, recognition=Recognition(("tlh",), 60.0)).report

    assert report.left_out[0].startswith("page 2: no text, only a picture; its text could not be recognised: ")


def test_without_the_option_the_page_is_named(scanned: Path) -> None:
    assert read(scanned).report.left_out == ("page 2: no text, only a picture",)


def test_without_the_option_a_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.png"
    path.write_bytes(png(drawn(*NOTES)))

    with pytest.raises(CollectionError, match=r"is a binary file \(PNG picture\), not a document"):
        read(path)


def test_without_the_program_the_page_and_the_program_are_named(scanned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    document = read(scanned, recognition=ENGLISH)

    assert document.text == "The letter of the surveyor."
    assert document.report.left_out == (
        "page 2: no text, only a picture; the program tesseract cannot be run, so its text is not recognised",
    )


def test_pages_for_which_no_time_is_left_are_named(scanned: Path) -> None:
    report = read(scanned, recognition=Recognition(("eng",), 0.0)).report

    assert report.left_out == ("page 2: no text, only a picture; no time was left to recognise its text",)


def test_recognised_words_are_laid_out_as_columns_and_tables() -> None:
    """Boxes of a line differ by the letters in it, which must not part its words or make it larger."""
    rows = [("Country", "Limit"), ("Japan", "187"), ("Korea", "160"), ("Peru", "90")]
    words = [
        PictureWord(
            text, (str(number),), left, left + 20 * len(text), 100 + 60 * number - number % 2 * 6, 140 + 60 * number
        )
        for number, row in enumerate(rows)
        for left, text in zip((200, 900), row, strict=True)
    ]

    (table,) = laid_out(words, 4.0)

    assert getattr(table, "rows", None) == [list(row) for row in rows]


def problems(folder: Path, languages: str) -> list[Problem]:
    (folder / "config.toml").write_text(
        f'[backends.echo]\nkind = "scripted"\n[context]\nocr = [{languages}]\n', "utf-8"
    )
    settings, found = read_file(folder / "config.toml")
    assert settings is not None
    return [problem for problem in [*found, *problems_of(settings)] if "ocr" in problem.where]


def test_a_missing_program_is_a_mistake_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    (problem,) = problems(tmp_path, '"eng"')

    assert problem.where.endswith("config.toml [context] ocr")
    assert problem.what == "the program tesseract is not installed"
    assert "apt-get install tesseract-ocr" in problem.remedy


@needs_tesseract
def test_a_language_without_data_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, '"eng", "chi_xxx"')

    assert problem.what == "tesseract has no data for 'chi_xxx'"
    assert "apt-get install tesseract-ocr-chi-xxx" in problem.remedy
    assert problems(tmp_path, '"eng"') == []
