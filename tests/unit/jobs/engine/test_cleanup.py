"""Texts of unfinished jobs go away in time, and a misspelt job is told."""

import os
import shutil
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.main import main
from gateway.prompt.found.store import found_path, read_found
from gateway.settings.tables import Settings
from offline_jobs.discover import job as discover
from offline_jobs.engine.budget import JobBudget
from offline_jobs.engine.cleanup import KEPT_S, clean_parts
from offline_jobs.engine.ledger import DONE, FAILED, Ledger, LedgerJob
from offline_jobs.engine.work import go_on, start
from tests.doubles.application import SYSTEM, requests, tickets
from tests.doubles.recorded import stored

BUDGET = JobBudget(1, 1, 0.0, 1.0)


def with_parts(ledger: Ledger, state: str, age_s: float) -> Path:
    job = ledger.create("discover", {}, BUDGET)
    if state:
        ledger.end(job.id, state)
    ledger.done(job.id, "k", "systems", b"1", 0.0)
    parts = ledger.folder / job.id / "parts"
    parts.mkdir(parents=True)
    (parts / "systems.bin").write_text("a text")
    os.utime(parts / "systems.bin", (time.time() - age_s, time.time() - age_s))
    return parts


def later(parts: Path, ledger: Ledger, after_s: float) -> bool:
    clean_parts(ledger, time.time() + after_s)
    return parts.exists()


@pytest.mark.parametrize("state", [FAILED, "cancelled", ""])
def test_texts_of_a_job_that_can_be_resumed_stay_for_a_day(ledger: Ledger, state: str) -> None:
    parts = with_parts(ledger, state, 0)
    assert later(parts, ledger, KEPT_S - 60)
    assert ledger.steps(parts.parent.name)
    assert not later(parts, ledger, KEPT_S + 60)
    assert not ledger.steps(parts.parent.name)  # a resumed job would look for their files


def test_texts_of_a_done_job_and_of_an_unknown_one_go_at_once(ledger: Ledger) -> None:
    done, unknown = with_parts(ledger, DONE, 0), ledger.folder / "gone" / "parts"
    unknown.mkdir(parents=True)
    clean_parts(ledger)
    assert not done.exists()
    assert not unknown.exists()


def test_texts_of_a_running_job_stay(ledger: Ledger, settings: Settings) -> None:
    parts = with_parts(ledger, "", 0)
    other = Ledger(ledger.folder)
    with other.locked(parts.parent.name):
        assert later(parts, ledger, 10 * KEPT_S)
    other.close()


def test_a_discover_that_failed_is_resumed_or_begins_again(
    settings: Settings, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(settings, requests(tickets(20), system=SYSTEM))
    words = {"since": "2020-01-01", "until": "2040-01-01"}
    with monkeypatch.context() as broken:
        broken.setattr(discover, "_mined_in_rounds", lambda *_: 1 / 0)
        job = start(settings, ledger, "discover", words)
    parts = ledger.folder / job.id / "parts"
    assert (job.state, parts.exists()) == (FAILED, True)
    clean_parts(ledger, time.time() + 2 * KEPT_S)
    assert not parts.exists()
    assert go_on(settings, ledger, job).state == DONE
    assert not parts.exists()
    assert len(read_found(found_path(settings.data_folder)).prompts) == 1


def test_a_misspelt_job_gets_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[data]\nfolder = "data"\n')
    result = CliRunner().invoke(main, ["jobs", "run", "discovr", "--config", str(tmp_path / "config.toml")])
    assert result.exit_code != 0
    assert "Did you mean 'discover'" in result.output


def test_the_list_says_what_a_prompt_lacks(settings: Settings, ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[data]\nfolder = "data"\n')

    def listed() -> str:
        result = CliRunner().invoke(main, ["prompts", "list", "--config", str(tmp_path / "config.toml")])
        return " ".join(result.output.split())

    assert "foreword jobs run discover" in listed()
    stored(settings, requests(tickets(5), system=SYSTEM))
    start(settings, ledger, "discover", {"since": "2020-01-01", "until": "2040-01-01"})
    assert "discover read 5 records" in listed()
    assert "5 of 10 requests" in listed()
    assert "foreword jobs run discover" not in listed()
    alone = "You translate the letters of a bank into Dutch. Keep names as they are."
    stored(settings, requests(tickets(20), system=alone, first=100, users=1, days=1))
    start(settings, ledger, "discover", {"since": "2020-01-01", "until": "2040-01-01"})
    assert "read 25 records" in listed()
    assert "1 of 3 users or days" in listed()


def test_jobs_that_begin_together_may_clean_up_together(settings: Settings) -> None:
    class Overtaken(Ledger):
        """Another process removes the texts as soon as this one has looked a job up."""

        def known(self, id: str) -> LedgerJob | None:
            job = super().known(id)
            shutil.rmtree(self.folder / id / "parts")
            return job

    ledger = Overtaken(settings.data_folder / "jobs")
    try:
        parts = with_parts(ledger, FAILED, 2 * KEPT_S)
        clean_parts(ledger)
        assert not parts.exists()
    finally:
        ledger.close()
