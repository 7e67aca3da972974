"""TAR archives and files that are compressed alone."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.context.reading.formats import packed
from gateway.context.reading.readers import read
from gateway.errors import CollectionError

FILES = {"robot/README.md": b"# Calibration\n\nPress the left whisker.", "robot/logo.png": b"\x89PNG\r\n\x1a\n"}


def tar(files: dict[str, bytes] = FILES) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as made:
        folder = tarfile.TarInfo("robot")
        folder.type = tarfile.DIRTYPE
        made.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    return archive.getvalue()


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("a.tar", bytes),
        ("a.tar.gz", gzip.compress),
        ("a.tgz", gzip.compress),
        ("a.tar.bz2", bz2.compress),
        ("a.tar.xz", lzma.compress),
        ("no-suffix", gzip.compress),
    ],
)
def test_files_of_a_tar_archive_stand_below_their_names(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / name
    path.write_bytes(pack(tar()))

    document = read(path)

    assert [(heading.level, heading.title) for heading in document.headings] == [
        (1, "robot/README.md"),
        (2, "Calibration"),
    ]
    assert "Press the left whisker." in document.text
    assert len(document.report.left_out) == 1
    assert "logo.png" in document.report.left_out[0]


def test_a_file_that_is_compressed_alone_is_read_as_what_its_name_says(tmp_path: Path) -> None:
    path = tmp_path / "limits.csv.gz"
    path.write_bytes(gzip.compress(b"Country,Limit\nJapan,187\n"))

    assert read(path).text == "Country | Limit\nJapan | 187"


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_what_unpacks_to_too_much_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(packed, "MAX_UNPACKED_BYTES", 10 * 2**20)
    path = tmp_path / "bomb.txt.gz"
    path.write_bytes(pack(b"a" * (11 * 2**20)))

    with pytest.raises(CollectionError, match="unpacks to more than 10 MB"):
        read(path)


def test_a_member_that_claims_to_be_longer_than_the_archive_is_reported(tmp_path: Path) -> None:
    archive = bytearray(tar({"notes.txt": b"Ask Mira.", "long.txt": b"x"}))
    header = archive.index(b"long.txt")
    archive[header + 124 : header + 136] = b"%011o\0" % 2**32
    archive[header + 148 : header + 156] = b" " * 8
    archive[header + 148 : header + 156] = b"%06o\0 " % sum(archive[header : header + 512])
    path = tmp_path / "a.tar"
    path.write_bytes(archive)

    document = read(path)

    assert "Ask Mira." in document.text
    assert document.report.left_out == (
        "attachment long.txt: is longer than the archive",
        "the end of the archive, which is damaged",
    )


def test_archives_within_archives_end_at_a_depth(tmp_path: Path) -> None:
    content = b"deep"
    for _ in range(6):
        content = gzip.compress(content)
    path = tmp_path / "a.gz"
    path.write_bytes(content)

    with pytest.raises(CollectionError, match="nested"):
        read(path)
