"""What a harvest takes, what it leaves, and that the same exchanges are always the same version."""

from collections.abc import Callable

import pytest

from gateway.records.feedback import Feedback
from gateway.settings.tables import Settings
from offline_jobs.datasets import dataset
from offline_jobs.datasets.dataset import find
from offline_jobs.datasets.rows import What
from offline_jobs.engine.ledger import DONE, LedgerJob
from tests.doubles.recorded import BEGAN, a_record, stored
from tests.doubles.templates import source, write

Run = Callable[..., LedgerJob]
WINDOW = {"since": "2027-01-01", "until": "2028-01-01", "groups": False}
CHECKED = "checks: [{max_words: 3}]\n"


def queries(settings: Settings, what: What, name: str = "harvest") -> list[str]:
    return [row.query for row in find(settings.data_folder, name).read() if row.what is what]


def test_feedback_checks_and_missing_templates_tell_what_an_exchange_is(settings: Settings, run: Run) -> None:
    write(settings.root / "templates", "refund", source(more=CHECKED))
    stored(
        settings,
        [
            a_record(1, "where is my first order"),
            a_record(2, "please send the money of the second one back", template="refund.en", intent="refund"),
            a_record(3, "a third thing is what I would like returned", "one two three four", template="refund.en"),
            a_record(4, "the fourth parcel came broken, refund it", "done now", template="refund.en"),
            a_record(5, "a question that nobody scored and that no check looks at", template="other.en"),
        ],
        [Feedback("ex-0000002", score=0.0), Feedback("ex-0000004", score=1.0)],
    )
    job = run("harvest", **WINDOW)
    assert job.state == DONE, job.reason
    assert queries(settings, What.UNFITTED) == ["where is my first order"]
    assert queries(settings, What.SUCCESS) == ["the fourth parcel came broken, refund it"]
    failures = [row for row in find(settings.data_folder, "harvest").read() if row.what is What.FAILURE]
    assert [(row.query.split()[1], row.why) for row in failures] == [
        ("send", ("feedback",)),
        ("third", ("checks: It has 4 words; at most 3 are wanted",)),
    ]


def test_an_answer_that_is_not_what_was_wanted_is_a_failure_whatever_its_score(settings: Settings, run: Run) -> None:
    stored(settings, [a_record(1, "capital of France?", "Lyon")], [Feedback("ex-0000001", score=1.0, answer="Paris")])
    run("harvest", **WINDOW)
    (row,) = find(settings.data_folder, "harvest").read()
    assert (row.what, row.wanted, row.why) == (What.FAILURE, "Paris", ("wanted",))


def test_what_was_not_kept_in_full_and_what_a_job_asked_is_passed_over(settings: Settings, run: Run) -> None:
    stored(settings, [a_record(1, "sha256:00:9", policy="hashed"), a_record(2, "a job's own call", job="optimise-1")])
    run("harvest", **WINDOW)
    assert list(find(settings.data_folder, "harvest").read()) == []


def test_near_duplicates_go_and_the_labelled_one_stays(settings: Settings, run: Run) -> None:
    text = "please tell me how I can get back the money that I paid for order number 77"
    stored(
        settings,
        [a_record(1, text), a_record(2, text + "!"), a_record(3, text.upper() + "  "), a_record(4, "something else")],
        [Feedback("ex-0000001", score=1.0), Feedback("ex-0000002", score=1.0, answer="An answer.")],
    )
    run("harvest", **WINDOW)
    rows = list(find(settings.data_folder, "harvest").read())
    assert [(row.exchange, row.wanted) for row in rows] == [
        ("ex-0000002", "An answer."),
        ("ex-0000003", ""),
        ("ex-0000004", ""),
    ]


def test_no_secret_and_no_address_leaves_the_store(settings: Settings, run: Run) -> None:
    told = "my mail is jane@example.org and the key is sk-abcdefghij0123456789, ring +44 20 7946 0958"
    stored(settings, [a_record(1, told, told)], [Feedback("ex-0000001", score=0.0, answer=told)])
    job = run("harvest", **WINDOW)
    (row,) = find(settings.data_folder, "harvest").read()
    wanted = "my mail is <email> and the key is <api key>, ring <phone>"
    assert (row.query, row.answer, row.wanted) == (wanted, wanted, wanted)
    assert '"secrets":9' in job.report


def test_the_window_and_the_filters_decide_what_is_read(settings: Settings, run: Run) -> None:
    stored(
        settings, [a_record(number, f"prompt number {number * 7919}", model="ab"[number % 2]) for number in range(9)]
    )
    from datetime import UTC, datetime

    def moment(number: int) -> str:
        return datetime.fromtimestamp(BEGAN + number, UTC).isoformat()

    run("harvest", since=moment(2), until=moment(7), model="a", groups=False)
    rows = list(find(settings.data_folder, "harvest").read())
    assert [row.exchange for row in rows] == ["ex-0000002", "ex-0000004", "ex-0000006"]


@pytest.mark.parametrize("portion", [1, 3, 1000])
def test_the_same_exchanges_are_the_same_version_however_they_are_cut(
    settings: Settings, run: Run, portion: int
) -> None:
    stored(settings, [a_record(number, f"{number * 7919} things that I ask for") for number in range(10)])
    hashes = set()
    for size in (portion, 4):
        run("harvest", portion=size, **WINDOW)
        hashes.add(find(settings.data_folder, "harvest").hash)
    assert len(hashes) == 1


def test_two_moments_that_are_equal_lose_and_double_nothing(settings: Settings, run: Run) -> None:
    from msgspec.structs import replace

    records = [replace(a_record(number, f"{number * 7919} at once"), time_s=BEGAN) for number in range(7)]
    stored(settings, records)
    run("harvest", portion=2, **WINDOW)
    assert [row.exchange for row in find(settings.data_folder, "harvest").read()] == [record.id for record in records]


def test_a_version_that_was_tampered_with_is_refused(settings: Settings, run: Run) -> None:
    stored(settings, [a_record(1, "a prompt")])
    run("harvest", **WINDOW)
    found = find(settings.data_folder, "harvest")
    from pathlib import Path

    file = Path(found.folder) / dataset.ROWS
    file.write_text(file.read_text().replace("prompt", "promise"))
    with pytest.raises(dataset.JobFailed, match="has been changed"):
        list(found.read())
