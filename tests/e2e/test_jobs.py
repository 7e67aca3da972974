"""Jobs from the command line: what they would cost, what became of them, and what kill -9 leaves behind."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.settings.read import read
from offline_jobs.engine.registry import KINDS
from tests.doubles.recorded import a_record, stored
from tests.doubles.templates import source, write
from tests.doubles.toy_model import toy_model
from tests.unit.jobs.test_optimise import mind, rows

CONFIG = """
[data]
folder = "data"
[prompt]
templates = ["templates"]
[jobs.schedules]
harvest = "0 3 * * *"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").write_text(CONFIG)
    (tmp_path / "templates").mkdir()
    settings, problems = read({"data": {"folder": "data"}}, root=tmp_path)
    assert not problems
    stored(
        settings, [a_record(number, f"{number * 7919} is what I ask about, and more of it") for number in range(3000)]
    )
    return tmp_path


def jobs(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "gateway.cli.main", "jobs", *words, "--config", str(folder / "config.toml")]


def said(folder: Path, *words: str, status: int = 0) -> str:
    done = subprocess.run(jobs(folder, *words), capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


HARVEST = ("run", "harvest", "since=2027-01-01", "until=2028-01-01", "groups=false", "portion=100")


def hashes(folder: Path, name: str) -> set[str]:
    return {about.parent.name.split("@")[1] for about in (folder / "data" / "datasets").glob(f"{name}@*/dataset.json")}


DYING = """
import os, signal, sys
from gateway.cli.main import main
from offline_jobs.engine.ledger import Ledger

left, booked = int(sys.argv.pop(1)), {booked}
done = Ledger.done

def dying(self, *step):
    global left
    left -= 1
    if booked or left:
        done(self, *step)
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

Ledger.done = dying
main()
"""
"""The command line, killed as soon as so many steps are done: the last one of them booked, or not."""


def killed(folder: Path, *words: str, after: int, booked: bool) -> None:
    code = DYING.format(booked=booked)
    done = subprocess.run([sys.executable, "-c", code, str(after), *jobs(folder, *words)[3:]], check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_harvest_that_is_killed_again_and_again_ends_as_one_that_was_not(folder: Path) -> None:
    said(folder, *HARVEST, "name=whole")
    killed(folder, *HARVEST, "name=killed", after=5, booked=True)
    assert "cut off" in said(folder, "list")
    again = ("run", "harvest", "--continue")
    killed(folder, *again, after=7, booked=False)
    killed(folder, *again, after=1, booked=False)
    killed(folder, *again, after=4, booked=True)
    assert hashes(folder, "killed") == set()
    said(folder, *again)
    assert hashes(folder, "killed") == hashes(folder, "whole") != set()


def test_two_processes_make_the_same_dataset_as_one(folder: Path) -> None:
    said(folder, *HARVEST, "name=one")
    said(folder, *HARVEST, "name=two", "--processes", "2")
    assert hashes(folder, "one") == hashes(folder, "two")


def test_a_wrong_word_names_the_right_one_and_starts_nothing(folder: Path) -> None:
    told = said(folder, "run", "harvest", "sincee=7d", status=1)
    assert "Did you mean 'since'?" in told
    assert said(folder, "list", "--json") == ""


def test_each_word_of_a_job_is_explained_as_it_would_be_typed(folder: Path) -> None:
    for kind in KINDS:
        told = subprocess.run(jobs(folder, "kinds", kind)[:-2], capture_output=True, text=True, check=True).stdout
        words = [line for line in told.splitlines()[2:] if line]
        assert all(re.match(r"  [a-z0-9_]+=\S* +\S", line) for line in words), told
    told = subprocess.run(jobs(folder, "kinds", "harvest")[:-2], capture_output=True, text=True, check=True).stdout
    assert 'keep=["failure",' in told and "groups=true" in told


def test_a_job_out_of_its_budget_goes_on_with_a_larger_one(folder: Path) -> None:
    ran_out = said(folder, *HARVEST, "--minutes", "1e-12", status=3)  # over before anything can be done
    assert "out of budget" in ran_out
    (row,) = [json.loads(line) for line in said(folder, "list", "--json").splitlines()]
    said(folder, "resume", row["id"], status=3)
    said(folder, "resume", row["id"], "--minutes", "60")
    assert hashes(folder, "harvest")


def test_cron_prints_the_schedule(folder: Path) -> None:
    assert re.search(r"^0 3 \* \* \* /.* jobs run harvest --continue", said(folder, "cron"), re.MULTILINE)
    assert "kind: CronJob" in said(folder, "cron", "--kubernetes")


def test_a_dataset_goes_through_the_command_line_and_back(folder: Path) -> None:
    said(folder, *HARVEST)
    said(folder, "datasets", "export", "harvest", str(folder / "out.parquet"))
    said(folder, "datasets", "import", "again", str(folder / "out.parquet"))
    assert hashes(folder, "harvest") == hashes(folder, "again")


def test_an_optimisation_from_the_first_look_at_its_cost_to_a_canary(folder: Path) -> None:
    write(folder / "templates", "refund", source())
    (folder / "cases.jsonl").write_text("".join(json.dumps({"q": row.query, "a": row.wanted}) + "\n" for row in rows()))
    with toy_model(mind) as toy:
        backend = ["[backends.toy]", 'kind = "openai"', 'models = ["toy"]', 'api_key = "x"']
        backend += [f'base_url = "http://127.0.0.1:{toy.port}/v1"', "[routing]", 'default = "toy"']
        (folder / "config.toml").write_text(CONFIG + "\n".join(backend))
        said(
            folder,
            "datasets",
            "import",
            "cases",
            str(folder / "cases.jsonl"),
            "--field",
            "query=q",
            "--field",
            "wanted=a",
        )
        words = ("run", "optimise", "template=refund.en", "dataset=cases", "choose=12", "sealed=24")
        assert "at most" in said(folder, *words, "--dry-run")
        assert toy.asked == []
        said(folder, *words, "--calls", "300")
    (row,) = [json.loads(line) for line in said(folder, "list", "--json").splitlines()]
    shown: dict[str, Any] = json.loads(said(folder, "show", row["id"], "--json"))
    found = (shown["state"], shown["report"]["won"], shown["spent"]["calls"])
    assert found == ("done", "refund.en@2", len(toy.asked))
    changes = said(folder, "promote", row["id"], "--diff")
    assert "-status: active" in changes and "+status: candidate" in changes
    said(folder, "promote", row["id"], "--to", "canary")
    assert "refund.en: {canary: 2, share: 0.05}" in (folder / "templates" / "pointers.yaml").read_text()


def test_a_winner_becomes_a_commit_on_a_branch_and_the_work_tree_stays(folder: Path) -> None:
    test_an_optimisation_from_the_first_look_at_its_cost_to_a_canary(folder)
    (row,) = [json.loads(line) for line in said(folder, "list", "--json").splitlines()]
    for file in (folder / "templates").glob("*.v2.*"):
        file.unlink()

    def git(*words: str) -> str:
        who = {
            "GIT_AUTHOR_NAME": "a",
            "GIT_AUTHOR_EMAIL": "a@b",
            "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@b",
        }
        done = subprocess.run(
            ["git", "-C", folder, *words], capture_output=True, text=True, env={**os.environ, **who}, check=True
        )
        return done.stdout

    git("init", "-q", "-b", "main")
    git("add", "templates")
    git("commit", "-q", "-m", "first")
    said(folder, "promote", row["id"], "--branch", "better")
    assert git("status", "--porcelain", "templates") == ""
    assert git("diff", "--stat", "main", "better").count("refund.v2.prompt.md") == 1
    assert "status: candidate" in git("show", "better:templates/refund.v2.prompt.md")
