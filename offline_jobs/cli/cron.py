"""The schedules of `[jobs]` as lines for cron and as Kubernetes CronJobs."""

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from offline_jobs.engine.registry import KINDS
from offline_jobs.errors import JobFailed

FIELDS = re.compile(r"(?:[\d*/,\-A-Za-z]+\s+){4}[\d*/,\-A-Za-z]+")
CRONJOB = """apiVersion: batch/v1
kind: CronJob
metadata:
  name: foreword-{kind}
spec:
  schedule: "{when}"
  concurrencyPolicy: Forbid
  jobTemplate:
    spec:
      backoffLimit: 1
      template:
        spec:
          restartPolicy: Never
          containers:
            - name: job
              image: {image}
              command: [foreword, jobs, run, {kind}, --continue, --config, {config}]  # from the image, or mount it
              volumeMounts:
                - {{name: data, mountPath: {data}}}
          volumes:
            - name: data
              persistentVolumeClaim: {{claimName: {claim}}}
"""


def schedules(table: Mapping[str, str]) -> Mapping[str, str]:
    """The same table. Raises `JobFailed` for an unknown job or what is no five fields."""
    for kind, when in table.items():
        if kind not in KINDS:
            raise JobFailed(f"[jobs.schedules] {kind}: there is no such job; there are {', '.join(KINDS)}")
        if not FIELDS.fullmatch(when):
            raise JobFailed(f"[jobs.schedules] {kind}: {when!r} is not cron's five fields, such as 0 3 * * *")
    return table


def crontab(table: Mapping[str, str], command: str, config: Path) -> str:
    """`--continue` takes up what a reboot or a kill left unfinished before it starts anew."""
    lines = ["# foreword jobs cron | crontab -"]
    for kind, when in schedules(table).items():
        lines.append(f"{when} {shlex.quote(command)} jobs run {kind} --continue --config {shlex.quote(str(config))}")
    return "\n".join(lines)


def cronjobs(table: Mapping[str, str], *, image: str, config: Path, data: Path, claim: str) -> str:
    """One manifest a job, in one YAML stream."""
    given = {"image": image, "config": str(config), "data": str(data), "claim": claim}
    # JSON is YAML, and no name can mean anything else in it
    quoted = {name: json.dumps(value, ensure_ascii=False) for name, value in given.items()}
    made = (CRONJOB.format(kind=kind, when=when, **quoted) for kind, when in schedules(table).items())
    return "---\n".join(made)
