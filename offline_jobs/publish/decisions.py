"""The log of decisions about templates: a file in the data folder, one decision per line."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct


class LoggedDecision(Struct, frozen=True):
    """One decision. `by` is a job's id, or `person`."""

    template: str
    version: int
    what: str
    """What was decided: `candidate`, `canary`, `active`, `rolled back` or `kept waiting`."""
    reason: str
    by: str
    time_s: float = 0.0


def decisions_file(data_folder: Path) -> Path:
    return data_folder / "jobs" / "decisions.jsonl"


def log_decision(data_folder: Path, decision: LoggedDecision) -> None:
    """Append a decision to the log. If the decision has no time, the current time is used."""
    file = decisions_file(data_folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    now = msgspec.structs.replace(decision, time_s=decision.time_s or time.time())
    with file.open("ab") as out:
        out.write(msgspec.json.encode(now) + b"\n")


def decisions(data_folder: Path) -> Iterator[LoggedDecision]:
    """Yield all decisions, oldest first."""
    file = decisions_file(data_folder)
    if file.exists():
        with file.open("rb") as lines:
            for line in lines:
                yield msgspec.json.decode(line, type=LoggedDecision)
