"""A spool in a temporary folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.records.spool import Spool
from gateway.wire.chat.answer import read_answer


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool", "full", read_answer=read_answer)
    yield spool
    spool.close()
