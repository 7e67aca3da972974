"""Writes a job as a run in MLflow's file format. The package MLflow, which takes hundreds of megabytes, is not
needed."""

import time
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from offline_jobs.engine.ledger import LedgerJob

EXPERIMENT = "foreword"
FINISHED = 3


def log_run(folder: Path, job: LedgerJob, report: Any, artefacts: Path) -> None:
    """Write one run with the job's id as its name. The job's words become parameters, and the numbers of the report
    become metrics."""
    experiment = folder / _id(EXPERIMENT, 18)
    run = experiment / _id(job.id, 32)
    for part in ("metrics", "params", "tags", "artifacts"):
        (run / part).mkdir(parents=True, exist_ok=True)
    _write(
        experiment / "meta.yaml",
        {
            "experiment_id": experiment.name,
            "name": f"{EXPERIMENT}",
            "artifact_location": experiment.as_uri(),
            "lifecycle_stage": "active",
        },
    )
    _write(
        run / "meta.yaml",
        {
            "run_id": run.name,
            "run_uuid": run.name,
            "run_name": job.id,
            "experiment_id": experiment.name,
            "artifact_uri": artefacts.absolute().as_uri(),
            "start_time": int(job.created_s * 1000),
            "end_time": int(time.time() * 1000),
            "status": FINISHED,
            "user_id": EXPERIMENT,
            "lifecycle_stage": "active",
            "source_type": 4,
            "source_name": "",
            "source_version": "",
            "entry_point_name": "",
            "tags": [],
        },
    )
    for name, value in {"kind": job.kind, **job.words}.items():
        (run / "params" / name).write_text(str(value), "utf-8")
    stamp = int(time.time() * 1000)
    for name, number in _numbers("", report):
        (run / "metrics" / name).write_text(f"{stamp} {number} 0\n", "utf-8")
    (run / "tags" / "mlflow.runName").write_text(job.id, "utf-8")


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, bool | int | float):
        yield name or "value", float(value)
    elif isinstance(value, Mapping):
        for key, inside in value.items():
            plain = "".join(letter if letter.isalnum() or letter in "_-. " else "_" for letter in str(key))
            yield from _numbers(f"{name}.{plain}".strip("."), inside)


def _id(text: str, length: int) -> str:
    digits = sha256(text.encode()).hexdigest()
    return str(int(digits, 16))[:length] if length < len(digits) // 2 else digits[:length]


def _write(file: Path, table: Mapping[str, Any]) -> None:
    file.write_text(yaml.safe_dump(dict(table)), "utf-8")
