"""A data folder with recorded exchanges, and a matching configuration."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from gateway.ask import Turn
from gateway.exchange import Arm, Call, Intent, Rewrite
from gateway.ports import Answer
from gateway.records.database import Database
from gateway.records.feedback import Feedback
from gateway.records.locations import database_url
from gateway.records.schema import ExchangeRecord
from gateway.settings.read import read
from gateway.settings.tables import Settings

BEGAN = 1_800_000_000.0


def settings_in(folder: Path, **tables: object) -> Settings:
    """Return a configuration without backends. `tables` are added, or replace tables of the same name."""
    table = {"data": {"folder": "data"}, "prompt": {"templates": ["templates"]}, **tables}
    (folder / "templates").mkdir(exist_ok=True)
    found, problems = read(table, root=folder)
    assert not problems, problems
    return found


def a_record(
    number: int,
    query: str,
    answer: str = "An answer.",
    *,
    template: str = "",
    version: int = 1,
    arm: Arm = Arm.STABLE,
    intent: str = "",
    policy: str = "full",
    job: str = "",
    model: str = "small",
    total_us: int = 1000,
    calls: Sequence[Call] = (),
) -> ExchangeRecord:
    rewrite = Rewrite(template, version, "direct", arm=arm) if template else Rewrite.NONE
    return ExchangeRecord(
        id=f"ex-{number:07d}",
        policy=policy,
        time_s=BEGAN + number,
        endpoint="chat/completions",
        model=model,
        turns=(Turn("user", query, 0),),
        intent=Intent(intent, 0.9, 0.8, "en") if intent else Intent.UNKNOWN,
        rewrite=rewrite,
        changed=bool(template),
        backend="main",
        upstream=model,
        ending="finished",
        status=200,
        total_us=total_us,
        answer=Answer(answer, "stop", 10, 5),
        calls=tuple(calls),
        job=job,
    )


def stored(settings: Settings, records: Sequence[ExchangeRecord], said: Iterable[Feedback] = ()) -> None:
    database = Database.open(database_url(settings))
    try:
        for start in range(0, len(records), 500):
            database.insert(records[start : start + 500])
        for one in said:
            database.add_feedback(one)
    finally:
        database.close()
