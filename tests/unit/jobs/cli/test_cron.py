"""Schedules become lines for cron and manifests for Kubernetes; a wrong schedule is refused."""

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.check import command_problems
from offline_jobs.cli.cron import cronjobs, crontab, program
from offline_jobs.engine.schedules import FIELDS, CronField, schedule_problems, schedules
from offline_jobs.errors import JobFailed
from tests.doubles.recorded import settings_in

TABLE = {"harvest": "0 3 * * *", "drift": "30 4 * * mon"}
WITH_WORDS = {"optimise": ["0 5 * * sun template=summarise.en choose=20", "0 6 * * sun 'template=reply.en'"]}


def manifests(table: dict[str, Any], **changed: Any) -> list[Any]:
    options: dict[str, Any] = {
        "image": "foreword:1",
        "config": Path("/etc/f.toml"),
        "data": Path("/data"),
        "templates": [Path("/srv/templates")],
        "claim": "data",
        "templates_claim": "templates",
    }
    return list(yaml.safe_load_all(cronjobs(schedules(table), **{**options, **changed})))


def test_the_crontab_has_a_line_for_each() -> None:
    lines = crontab(schedules(TABLE), ["/opt/a b/foreword"], Path("/etc/foreword.toml")).splitlines()
    assert lines[1:] == [
        "0 3 * * * '/opt/a b/foreword' jobs run harvest --continue --config /etc/foreword.toml",
        "30 4 * * mon '/opt/a b/foreword' jobs run drift --continue --config /etc/foreword.toml",
    ]


def test_a_schedule_carries_the_words_of_its_job() -> None:
    lines = crontab(schedules(WITH_WORDS), ["/bin/foreword"], Path("/etc/f.toml")).splitlines()
    assert lines[1].startswith("0 5 * * sun /bin/foreword jobs run optimise template=summarise.en choose=20 ")
    assert shlex.split(lines[2])[9] == "template=reply.en"


def test_cron_gets_no_bare_percent_sign() -> None:
    table = {"harvest": "0 3 * * * name=a%b"}
    assert "name=a\\%b" in crontab(schedules(table), ["/bin/foreword"], Path("/etc/f.toml"))


@pytest.mark.parametrize("called", ["foreword", "/opt/venv/bin/foreword", "gateway/cli/main.py"])
def test_the_program_is_named_by_its_absolute_path(called: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    assert Path(program()[0]).is_absolute()


def test_each_manifest_is_valid_yaml_that_runs_the_job() -> None:
    harvest, drift = manifests(TABLE)
    assert (harvest["kind"], harvest["metadata"]["name"], drift["spec"]["schedule"]) == (
        "CronJob",
        "foreword-harvest",
        "30 4 * * mon",
    )
    pod = harvest["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"] == ["foreword", "jobs", "run", "harvest", "--continue", "--config", "/etc/f.toml"]
    assert {volume["name"] for volume in pod["volumes"]} == {"data", "templates"}


def test_templates_are_written_to_a_volume_that_begins_with_those_of_the_image() -> None:
    (harvest,) = manifests({"harvest": "0 3 * * *"}, templates=[Path("/srv/a b"), Path("/srv/own")])
    pod = harvest["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["volumeMounts"] == [
        {"name": "data", "mountPath": "/data"},
        {"name": "templates", "mountPath": "/srv/a b", "subPath": "0-a b"},
        {"name": "templates", "mountPath": "/srv/own", "subPath": "1-own"},
    ]
    shell, option, script = pod["initContainers"][0]["command"]
    assert (shell, option) == ("sh", "-c")
    assert "cp -Rn '/srv/a b'/. '/volume/0-a b'/" in script or "cp -Rn '/srv/a b'/. /volume/'0-a b'/" in script


def test_two_schedules_of_a_kind_are_two_manifests_of_different_names() -> None:
    first, second = manifests(WITH_WORDS)
    assert (first["metadata"]["name"], second["metadata"]["name"]) == ("foreword-optimise", "foreword-optimise-2")
    (container,) = second["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"][4] == "template=reply.en"


WRONG = [
    ({"harvset": "0 3 * * *"}, "no such job"),
    ({"drift": "daily"}, "five fields"),
    ({"drift": "* * *"}, "five fields"),
    ({"drift": "@daily"}, "write '0 0 \\* \\* \\*'"),
    ({"drift": "61 3 * * *"}, "no minute from 0 to 59"),
    ({"drift": "0 24 * * *"}, "no hour from 0 to 23"),
    ({"drift": "0 0 31 2 *"}, "no month has"),
    ({"drift": "0 0 * jann *"}, "no month"),
    ({"drift": "*/0 * * * *"}, "step of 0"),
    ({"drift": "5-1 * * * *"}, "ends before it begins"),
    ({"optimise": "0 3 * * *"}, "template"),
    ({"optimise": "0 3 * * * tempalte=x"}, "tempalte"),
    ({"harvest": ["0 3 * * *", "0 3 * *"]}, "five fields"),
    ({"harvest": "0 3 * * * 'name=a"}, "cannot be read"),
]


@pytest.mark.parametrize(("table", "message"), WRONG)
def test_a_wrong_schedule_is_refused_and_check_reports_it(tmp_path: Path, table: dict[str, Any], message: str) -> None:
    with pytest.raises(JobFailed, match=message):
        schedules(table)
    settings = settings_in(tmp_path, jobs={"schedules": table})
    assert len(list(schedule_problems(settings))) == 1


def test_check_reports_every_wrong_schedule_of_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        '[jobs.schedules]\nharvest = "0 3 * * *"\nwatch = "61 3 * * *"\ndrfit = "0 3 * * *"\noptimise = "0 3 * * *"\n'
    )
    problems = [str(problem) for problem in command_problems(tmp_path / "config.toml")]
    assert ["watch" in problems[0], "drfit" in problems[1], "optimise" in problems[2]] == [True] * 3, problems


@given(st.sampled_from(FIELDS), st.integers(0, 100), st.integers(0, 100), st.integers(1, 70))
def test_every_field_that_cron_takes_is_read_as_its_numbers(field: CronField, first: int, more: int, step: int) -> None:
    low = field.low + first % (field.high - field.low + 1)
    high = low + more % (field.high - low + 1)
    assert field.values(f"{low}-{high}/{step}") == set(range(low, high + 1, step))
    assert field.values(f"{low},{high}") == {low, high}
    assert field.values("*") == set(range(field.low, field.high + 1))


def test_a_path_with_spaces_stays_one_word_of_a_manifest() -> None:
    harvest, _ = manifests(TABLE, config=Path("/a b, c/f.toml"), data=Path("/data: x"))
    (container,) = harvest["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"][-1] == "/a b, c/f.toml"
    assert {"name": "data", "mountPath": "/data: x"} in container["volumeMounts"]
