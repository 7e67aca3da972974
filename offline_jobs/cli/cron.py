"""Prints the schedules of `[jobs]` as a crontab or as Kubernetes CronJobs."""

import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from offline_jobs.engine.schedules import Schedule

CRONJOB = """apiVersion: batch/v1
kind: CronJob
metadata:
  name: {name}
spec:
  schedule: {when}
  concurrencyPolicy: Forbid
  jobTemplate:
    spec:
      backoffLimit: 1
      template:
        spec:
          restartPolicy: Never
          initContainers:  # fills an empty volume with the templates of the image, and leaves files there as they are
            - name: templates
              image: {image}
              command: [sh, -c, {copy}]
              volumeMounts:
                - {{name: templates, mountPath: /volume}}
          containers:
            - name: job
              image: {image}
              command: {command}  # the configuration is from the image, or mount it
              volumeMounts:
                - {{name: data, mountPath: {data}}}
{mounts}
          volumes:
            - name: data
              persistentVolumeClaim: {{claimName: {claim}}}
            - name: templates
              persistentVolumeClaim: {{claimName: {templates_claim}}}
"""
MOUNT = "                - {{name: templates, mountPath: {path}, subPath: {place}}}"


def program() -> list[str]:
    """Return the command that started this process, with absolute paths. Cron's PATH does not include a virtual
    environment."""
    called = Path(sys.argv[0])
    if called.suffix == ".py":  # python -m gateway.cli.main
        return [sys.executable, "-m", "gateway.cli.main"]
    path = called if called.exists() else Path(shutil.which(called.name) or Path(sys.executable).with_name("foreword"))
    return [str(path.absolute())]


def crontab(schedules: Sequence[Schedule], command: Sequence[str], config: Path) -> str:
    """Return a crontab with one line for each schedule.

    The lines pass `--continue`, which resumes an interrupted run instead of starting a new one.
    """
    lines = ["# foreword jobs cron | crontab -"]
    for schedule in schedules:
        words = [*command, "jobs", "run", schedule.kind, *schedule.words, "--continue", "--config", str(config)]
        # cron ends the command at a % unless a backslash precedes it
        lines.append(f"{schedule.when} {shlex.join(words)}".replace("%", "\\%"))
    return "\n".join(lines)


def cronjobs(
    schedules: Sequence[Schedule],
    *,
    image: str,
    config: Path,
    data: Path,
    templates: Sequence[Path],
    claim: str,
    templates_claim: str,
) -> str:
    """Return one YAML stream with a manifest for each schedule.

    `templates` are the template folders. They are mounted from the volume claim `templates_claim`, so that winners and
    pointers remain when the pod is deleted. The gateway must mount the same claim.
    """
    places = {folder: f"{number}-{folder.name}" for number, folder in enumerate(templates)}
    copy = " && ".join(
        f"mkdir -p /volume/{shlex.quote(place)} && cp -Rn {shlex.quote(str(folder))}/. /volume/{shlex.quote(place)}/"
        for folder, place in places.items()
    )
    mounts = [MOUNT.format(path=_quoted(str(folder)), place=_quoted(place)) for folder, place in places.items()]
    made = []
    for schedule, name in zip(schedules, _names(schedules), strict=True):
        words = ["foreword", "jobs", "run", schedule.kind, *schedule.words, "--continue", "--config", str(config)]
        text = CRONJOB.format(
            name=name,
            when=_quoted(schedule.when),
            image=_quoted(image),
            copy=_quoted(copy or "true"),
            command=_quoted(words),
            data=_quoted(str(data)),
            mounts="\n".join(mounts),
            claim=_quoted(claim),
            templates_claim=_quoted(templates_claim),
        )
        made.append(text)
    return "---\n".join(made)


def _names(schedules: Sequence[Schedule]) -> list[str]:
    """Return the names of the CronJobs: `foreword-KIND`. The second and later jobs of a kind also have a number."""
    kinds = [schedule.kind for schedule in schedules]
    counts = [kinds[: place + 1].count(kind) for place, kind in enumerate(kinds)]
    return [f"foreword-{kind}" + (f"-{count}" if count > 1 else "") for kind, count in zip(kinds, counts, strict=True)]


def _quoted(value: str | Sequence[str]) -> str:
    """Quote a value for YAML as JSON. JSON is valid YAML, and no character in the quoted value has a special
    meaning."""
    return json.dumps(value, ensure_ascii=False)
