"""A reader in a process of its own: what is wrong with a file ends no more than the reading of that file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.context.reading.parse_process import ParseProcess
from gateway.context.reading.readers import read
from gateway.errors import CollectionError


@pytest.fixture(scope="module")
def parse() -> Iterator[ParseProcess]:
    opened = ParseProcess()
    yield opened
    opened.close()


def test_a_document_comes_back_as_it_was_read(parse: ParseProcess, tmp_path: Path) -> None:
    file = tmp_path / "leave.md"
    file.write_text("# Urlaub 年假\n\nFünfzehn Tage.\n", "utf-8")

    assert parse(file) == read(file)
    assert parse(file, "renamed.md").headings[0].title == "Urlaub 年假"
    assert parse(file, "renamed.txt").headings == ()


def test_what_is_wrong_with_a_file_is_told_by_its_name(parse: ParseProcess, tmp_path: Path) -> None:
    file = tmp_path / "file-1234"
    file.write_bytes(b"%PDF-1.4 broken")

    with pytest.raises(CollectionError, match=r"^report\.pdf: cannot be read as \.pdf"):
        parse(file, "report.pdf")
    with pytest.raises(CollectionError, match=r"^gone\.md: No such file"):
        parse(tmp_path / "gone", "gone.md")


def test_a_reader_that_hangs_is_ended_and_the_next_file_is_read(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "endless.txt")  # a file without an end
    good = tmp_path / "good.txt"
    good.write_text("Fifteen days.", "utf-8")
    parse = ParseProcess(time_s=3.0)
    try:
        with pytest.raises(CollectionError, match=r"endless\.txt: reading it took longer than 3 s"):
            parse(tmp_path / "endless.txt")
        assert parse(good).text == "Fifteen days."
    finally:
        parse.close()


def test_a_reader_that_needs_too_much_memory_is_reported_and_the_next_file_is_read(tmp_path: Path) -> None:
    large, good = tmp_path / "large.txt", tmp_path / "good.txt"
    large.write_text("word " * 12_000_000, "utf-8")
    good.write_text("Fifteen days.", "utf-8")
    parse = ParseProcess(memory_mb=150)
    try:
        with pytest.raises(CollectionError, match=r"large\.txt: .*(memory|MemoryError|more than 150 MB)"):
            parse(large)
        assert parse(good).text == "Fifteen days."
    finally:
        parse.close()


def test_a_reader_knows_no_secret_of_the_gateways(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    parse = ParseProcess()
    try:
        (tmp_path / "a.txt").write_text("text", "utf-8")
        parse(tmp_path / "a.txt")
        assert parse._process is not None
        assert b"sk-secret" not in Path(f"/proc/{parse._process.pid}/environ").read_bytes()
    finally:
        parse.close()
