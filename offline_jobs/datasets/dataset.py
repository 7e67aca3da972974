"""Dataset versions. A version is an immutable file of rows, with a note that describes their origin. The hash of the
rows identifies the version."""

import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from gateway.disk.atomic_file import write_whole
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.errors import JobFailed

ROWS, ABOUT = "rows.jsonl", "dataset.json"
SHORT = 12
PORTION = 5000
_row = msgspec.json.Decoder(DatasetRow)


class Dataset(Struct, frozen=True):
    """One version. `ref` is `name@hash`."""

    name: str
    hash: str
    rows: int
    counts: Mapping[str, int]
    """The number of rows of each kind, and the number of rows that were left out."""
    query: Mapping[str, Any]
    """The options of the harvest or import that made the version."""
    job: str
    created_s: float
    folder: str

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.hash[:SHORT]}"

    def read(self) -> Iterator[DatasetRow]:
        """Yield the rows one by one. Raises `JobFailed` after the last row if the file does not have the version's
        hash."""
        digest = sha256()
        with (Path(self.folder) / ROWS).open("rb") as file:
            for line in file:
                digest.update(line)
                yield _row.decode(line)
        if digest.hexdigest() != self.hash:
            raise JobFailed(f"{self.ref} has been changed: the hash of {self.folder}/{ROWS} does not match")


def datasets_folder(data_folder: Path) -> Path:
    return data_folder / "datasets"


def write(
    data_folder: Path,
    name: str,
    rows: Iterable[DatasetRow],
    *,
    counts: Mapping[str, int],
    query: Mapping[str, Any],
    job: str = "",
) -> Dataset:
    """Write a new version, completely or not at all. The same rows always make the same version."""
    parent = datasets_folder(data_folder)
    parent.mkdir(parents=True, exist_ok=True)
    beside = parent / f".{name}.{os.getpid()}.{time.monotonic_ns()}"
    beside.mkdir()
    try:
        return _written(beside, parent, name, rows, counts=counts, query=query, job=job)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _written(
    beside: Path,
    parent: Path,
    name: str,
    rows: Iterable[DatasetRow],
    *,
    counts: Mapping[str, int],
    query: Mapping[str, Any],
    job: str,
) -> Dataset:
    digest, count = sha256(), 0
    with (beside / ROWS).open("wb") as file:
        for row in rows:
            line = msgspec.json.encode(row) + b"\n"
            digest.update(line)
            file.write(line)
            count += 1
    hash = digest.hexdigest()
    folder = parent / f"{name}@{hash[:SHORT]}"
    made = Dataset(name, hash, count, counts, query, job, time.time(), str(folder))
    write_whole(beside / ABOUT, json.dumps(msgspec.to_builtins(made), indent=1, ensure_ascii=False) + "\n")
    if not (folder / ABOUT).exists():
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)
    return made


def versions(data_folder: Path) -> Sequence[Dataset]:
    """Return all versions, newest first."""
    files = datasets_folder(data_folder).glob(f"*@*/{ABOUT}")
    return sorted((_about(file) for file in files), key=lambda dataset: dataset.created_s, reverse=True)


def find(data_folder: Path, ref: str) -> Dataset:
    """Return the version `name@hash`, or the newest version of `name`. Raises `JobFailed` if there is none."""
    name, _, hash = ref.partition("@")
    for dataset in versions(data_folder):
        if dataset.name == name and dataset.hash.startswith(hash):
            return dataset
    known = ", ".join(sorted({dataset.name for dataset in versions(data_folder)})) or "none yet"
    raise JobFailed(f"there is no dataset {ref!r}; existing: {known}. To make one: foreword jobs run harvest")


def _about(file: Path) -> Dataset:
    dataset = msgspec.json.decode(file.read_bytes(), type=Dataset)
    return msgspec.structs.replace(dataset, folder=str(file.parent))  # the data folder may have moved


def export(dataset: Dataset, file: Path) -> int:
    """Write a version to a `.jsonl` or `.parquet` file. Returns the number of rows."""
    if file.suffix == ".parquet":
        from offline_jobs.datasets.parquet import write_parquet

        return write_parquet(dataset.read(), file)
    if file.suffix != ".jsonl":
        raise JobFailed(f"{file.name}: a dataset can be exported as .jsonl or .parquet")
    with file.open("wb") as out:
        for row in dataset.read():
            out.write(msgspec.json.encode(row) + b"\n")
    return dataset.rows


def rows_in(file: Path, fields: Mapping[str, str] | None = None) -> Iterator[DatasetRow]:
    """Yield the rows of a `.jsonl` or `.parquet` file.

    `fields` maps the field names of `DatasetRow` to the names in the file, such as `{"query": "text"}`.
    """
    names = {"query": "query", **(fields or {})}
    for number, line in enumerate(_lines(file), 1):
        ours = {our: line[theirs] for our, theirs in names.items() if line.get(theirs) is not None}
        rest = {key: value for key, value in line.items() if key in DatasetRow.__struct_fields__ and value is not None}
        try:
            yield msgspec.convert({**rest, **ours}, DatasetRow)
        except msgspec.ValidationError as error:
            raise JobFailed(f"{file}, row {number}: {error}") from error


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    if file.suffix == ".parquet":
        from offline_jobs.datasets.parquet import read_parquet

        yield from read_parquet(file)
        return
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.DecodeError as error:
                raise JobFailed(f"{file}, line {number}: {error}") from error
