"""Datasets go out and come in as JSONL and Parquet."""

from pathlib import Path

import pytest

from offline_jobs.datasets import dataset
from offline_jobs.datasets.rows import DatasetRow, What
from offline_jobs.errors import JobFailed

ROWS = [
    DatasetRow("你好", What.FAILURE, "hello", "hi", score=0.0, why=("feedback",), time_s=1.5),
    DatasetRow("plain"),
    DatasetRow("line\nbreak", What.SUCCESS, label="x", version=3),
]


def made(folder: Path, name: str = "some") -> dataset.Dataset:
    return dataset.write(folder, name, ROWS, counts={}, query={})


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_what_is_exported_comes_back_as_the_same_version(tmp_path: Path, suffix: str) -> None:
    first = made(tmp_path)
    file = tmp_path / f"out.{suffix}"
    assert dataset.export(first, file) == 3
    again = dataset.write(tmp_path, "again", dataset.rows_in(file), counts={}, query={})
    assert again.hash == first.hash


def test_the_fields_of_a_file_are_mapped_to_ours(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text('{"text": "a", "label": "b"}\n\n')
    assert list(dataset.rows_in(file, {"query": "text", "wanted": "label"})) == [DatasetRow("a", wanted="b", label="b")]


@pytest.mark.parametrize(("line", "said"), [('{"text": "a"}', "row 1"), ("{", "line 1")])
def test_a_file_that_cannot_be_used_names_its_row(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text(line + "\n")
    with pytest.raises(JobFailed, match=said):
        list(dataset.rows_in(file))


def test_the_same_rows_are_one_version_and_a_name_is_its_newest(tmp_path: Path) -> None:
    first, second = made(tmp_path), made(tmp_path)
    assert first.ref == second.ref
    newer = dataset.write(tmp_path, "some", ROWS[:1], counts={}, query={})
    assert dataset.find(tmp_path, "some").hash == newer.hash
    assert dataset.find(tmp_path, first.ref).hash == first.hash
    with pytest.raises(JobFailed, match="existing: some"):
        dataset.find(tmp_path, "other")
