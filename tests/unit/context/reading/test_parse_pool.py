"""Several readers: one that hangs holds up no other file, and all end together."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import pytest

from gateway.context.reading.parse_pool import ParsePool
from gateway.errors import CollectionError


def test_a_file_that_hangs_holds_up_no_other_and_ends_with_the_pool(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "endless.txt")  # a file without an end
    (tmp_path / "good.txt").write_text("Fifteen days.", "utf-8")
    pool = ParsePool(2)
    with ThreadPoolExecutor(1) as threads:
        endless = threads.submit(pool, tmp_path / "endless.txt", "endless.txt")
        assert pool(tmp_path / "good.txt").text == "Fifteen days."
        assert not endless.done()

        began = monotonic()
        pool.close()

        with pytest.raises(CollectionError, match="endless"):
            endless.result(timeout=5)
        assert monotonic() - began < 5
    with pytest.raises(CollectionError, match="stopped"):
        pool(tmp_path / "good.txt")
