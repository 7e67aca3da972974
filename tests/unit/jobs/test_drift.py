"""A shift is alerted with what it concerns, no shift is not, and whoever should know is told."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from gateway.records.feedback import Feedback
from gateway.settings.tables import Settings
from offline_jobs.engine.alert import metrics_file
from offline_jobs.engine.ledger import DONE, Ledger, LedgerJob
from offline_jobs.engine.work import jobs_folder, start
from offline_jobs.statistics.compare_windows import ComparedWindow, alarmed, compared, counted, measured, placed
from tests.doubles.recorded import BEGAN, a_record, settings_in, stored

INTENTS = ["refund", "delivery", "password", "invoice"]


def traffic(draw: Random, count: int, new: float = 0.0) -> ComparedWindow:
    found = ComparedWindow()
    for _ in range(count):
        found.intents.append("brand-new" if draw.random() < new else draw.choice(INTENTS))
        found.templates.append("t.en")
        found.milliseconds.append(draw.gauss(500, 100))
        found.prompt_tokens.append(float(draw.randint(20, 60)))
        found.answer_tokens.append(float(draw.randint(5, 90)))
        found.cost.append(0.0)
        found.scores.append(float(draw.random() < 0.8))
    return found


def test_no_alarm_in_twenty_windows_without_a_change() -> None:
    draw = Random(0)
    before = traffic(draw, 3000)
    for _ in range(20):
        assert not any(one.alarm for one in alarmed(compared(before, traffic(draw, 1000))))


def test_a_new_intent_at_a_tenth_is_alerted_within_a_thousand_and_named() -> None:
    draw = Random(1)
    changes = alarmed(compared(traffic(draw, 3000), traffic(draw, 1000, new=0.1)))
    assert [(one.name, one.concerns[:1]) for one in changes if one.alarm] == [("intents", ("brand-new",))]


def test_a_significant_difference_that_is_small_is_no_alarm() -> None:
    draw = Random(2)
    before, now = ([draw.gauss(middle, 1) for _ in range(50_000)] for middle in (0.0, 0.05))
    change = measured("milliseconds", before, now)
    assert change is not None
    assert change.p < 1e-6
    assert not alarmed([change])[0].alarm


def test_new_prompts_are_seen_without_any_intent() -> None:
    draw = np.random.default_rng(3)
    centres = draw.normal(size=(5, 32))

    def prompts(count: int, of: Any) -> Any:
        rows = of[draw.integers(0, len(of), count)] + draw.normal(scale=0.4, size=(count, 32))
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def alarm(now: Any) -> bool:
        before, after = placed(prompts(1000, centres[:4]), now)
        change = counted("prompts", [str(one) for one in before], [str(one) for one in after])
        assert change is not None
        return alarmed([change])[0].alarm

    assert not alarm(prompts(1000, centres[:4]))
    assert alarm(np.concatenate([prompts(900, centres[:4]), prompts(100, centres[4:])]))


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    told: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """A test's output is not a log."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/", told
    server.shutdown()
    server.server_close()
    thread.join()


def prepared(folder: Path, slow: bool, **jobs: object) -> Settings:
    settings = settings_in(folder, jobs=jobs)
    draw = Random(4)
    records = [
        a_record(
            number,
            f"prompt {number * 7919}",
            intent=draw.choice(INTENTS),
            total_us=draw.randint(1000, 3000) * (3 if slow and number >= 600 else 1),
        )
        for number in range(900)
    ]
    stored(settings, records, [Feedback(record.id, score=1.0) for record in records[::2]])
    return settings


def compared_now(settings: Settings, **words: object) -> LedgerJob:
    from datetime import UTC, datetime

    until = datetime.fromtimestamp(BEGAN + 900, UTC).isoformat()
    ledger = Ledger(jobs_folder(settings))
    try:
        return start(settings, ledger, "drift", {"now": "5m", "reference": "1h", "until": until, **words})
    finally:
        ledger.close()


def test_an_alarm_reaches_the_webhook_the_metric_and_the_page_and_starts_a_harvest(
    tmp_path: Path, webhook: tuple[str, list[dict[str, Any]]]
) -> None:
    url, told = webhook
    settings = prepared(tmp_path, slow=True, webhook=url)
    job = compared_now(settings, harvest=True)
    assert job.state == DONE, job.reason
    report = json.loads(job.report)
    assert [one["name"] for one in report["changes"] if one["alarm"]] == ["milliseconds"]
    assert [(one["alarm"], one["job"], one["changes"][0]["name"]) for one in told] == [
        ("drift", job.id, "milliseconds")
    ]
    assert 'foreword_drift{of="milliseconds"} 1' in metrics_file(settings.data_folder).read_text()
    page = Path(report["page"]).read_text()
    assert "Traffic has changed" in page
    assert page.count("<svg") == len(report["changes"])
    ledger = Ledger(jobs_folder(settings))
    assert ledger.job(report["harvest"]).state == DONE
    ledger.close()


def test_without_a_change_nobody_is_told(tmp_path: Path, webhook: tuple[str, list[dict[str, Any]]]) -> None:
    url, told = webhook
    job = compared_now(prepared(tmp_path, slow=False, webhook=url))
    report = json.loads(job.report)
    assert (report["alarm"], report["verdict"], told) == (False, "no change", [])


def test_a_webhook_that_cannot_be_reached_fails_no_job(tmp_path: Path) -> None:
    job = compared_now(prepared(tmp_path, slow=True, webhook="http://127.0.0.1:9/"))
    assert job.state == DONE
    assert "cannot be reached" in json.loads(job.report)["webhook"]


def test_a_window_with_too_few_exchanges_is_too_few_to_tell(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    stored(settings, [a_record(number, f"prompt {number * 7919}", intent="refund") for number in range(900)][::20])
    job = compared_now(settings)
    report = json.loads(job.report)
    assert (report["alarm"], report["verdict"], report["changes"]) == (False, "too few to tell", [])
    page = Path(report["page"]).read_text()
    assert "Too few exchanges to tell" in page and "No change" not in page


def test_nothing_to_compare_says_so(settings: Settings) -> None:
    job = compared_now(settings)
    assert (job.state, job.reason) == (
        "failed",
        "nothing to compare: 0 exchanges in the reference window, 0 in the recent one",
    )
