"""Reads and writes datasets as Parquet, for example for pandas and Spark. Needs pyarrow."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from offline_jobs.datasets.rows import DatasetRow

PORTION = 5000
SCHEMA = pa.schema(
    [
        ("query", pa.string()),
        ("what", pa.string()),
        ("wanted", pa.string()),
        ("answer", pa.string()),
        ("label", pa.string()),
        ("score", pa.float64()),
        ("why", pa.list_(pa.string())),
        ("intent", pa.string()),
        ("template", pa.string()),
        ("version", pa.int64()),
        ("model", pa.string()),
        ("language", pa.string()),
        ("exchange", pa.string()),
        ("time_s", pa.float64()),
    ]
)


def write_parquet(rows: Iterable[DatasetRow], file: Path) -> int:
    """Write the rows in portions, so memory use does not grow with their number. Returns the number of rows."""
    count = 0
    with pq.ParquetWriter(file, SCHEMA, compression="zstd") as out:
        rest = iter(rows)
        while portion := list(islice(rest, PORTION)):
            out.write_table(pa.Table.from_pylist([msgspec.structs.asdict(row) for row in portion], SCHEMA))
            count += len(portion)
    return count


def read_parquet(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows in the order of the file, with the file's field names."""
    for portion in pq.ParquetFile(file).iter_batches(PORTION):
        yield from portion.to_pylist()
