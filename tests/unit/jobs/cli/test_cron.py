"""Schedules become lines for cron and manifests for Kubernetes; what is no schedule is refused."""

from pathlib import Path

import pytest
import yaml

from offline_jobs.cli.cron import cronjobs, crontab
from offline_jobs.errors import JobFailed

TABLE = {"harvest": "0 3 * * *", "drift": "30 4 * * mon"}


def test_the_crontab_has_a_line_for_each() -> None:
    lines = crontab(TABLE, "/opt/a b/foreword", Path("/etc/foreword.toml")).splitlines()
    assert lines[1:] == [
        "0 3 * * * '/opt/a b/foreword' jobs run harvest --continue --config /etc/foreword.toml",
        "30 4 * * mon '/opt/a b/foreword' jobs run drift --continue --config /etc/foreword.toml",
    ]


def test_each_manifest_is_valid_yaml_that_runs_the_job() -> None:
    text = cronjobs(TABLE, image="foreword:1", config=Path("/etc/f.toml"), data=Path("/data"), claim="data")
    harvest, drift = yaml.safe_load_all(text)
    assert (harvest["kind"], harvest["metadata"]["name"], drift["spec"]["schedule"]) == (
        "CronJob",
        "foreword-harvest",
        "30 4 * * mon",
    )
    (container,) = harvest["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["foreword", "jobs", "run", "harvest", "--continue", "--config", "/etc/f.toml"]
    assert container["volumeMounts"] == [{"name": "data", "mountPath": "/data"}]


@pytest.mark.parametrize(
    ("table", "said"), [({"harvset": "0 3 * * *"}, "no such job"), ({"drift": "daily"}, "five fields")]
)
def test_what_is_no_schedule_is_refused(table: dict[str, str], said: str) -> None:
    with pytest.raises(JobFailed, match=said):
        crontab(table, "foreword", Path("c.toml"))


def test_a_path_with_spaces_stays_one_word_of_a_manifest() -> None:
    text = cronjobs(TABLE, image="foreword:1", config=Path("/a b, c/f.toml"), data=Path("/data: x"), claim="data")
    harvest, _ = yaml.safe_load_all(text)
    (container,) = harvest["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"][-1] == "/a b, c/f.toml"
    assert container["volumeMounts"] == [{"name": "data", "mountPath": "/data: x"}]
