"""A ledger in a temporary folder, and a way to run a job with it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.settings.tables import Settings
from offline_jobs.engine.ledger import Ledger, LedgerJob
from offline_jobs.engine.work import jobs_folder, start
from tests.doubles.recorded import settings_in


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    made = Ledger(jobs_folder(settings))
    yield made
    made.close()


@pytest.fixture
def run(settings: Settings, ledger: Ledger) -> Callable[..., LedgerJob]:
    def started(kind: str, **words: Any) -> LedgerJob:
        return start(settings, ledger, kind, words)

    return started
