"""The whole way of a found prompt without a person, as far as it is allowed, with its reasons and a signed digest."""

import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.prompt.found.contract_file import read_contract
from gateway.prompt.found.found_prompt import PromptState
from gateway.prompt.found.store import FoundFile, change_found, found_path, read_found
from gateway.settings.tables import Settings
from offline_jobs.engine import alert as alerts
from offline_jobs.engine.ledger import DONE, Ledger
from offline_jobs.engine.work import jobs_folder
from tests.doubles.canary import LABELS, PROMPT
from tests.doubles.recorded import stored
from tests.doubles.toy_model import Toy
from tests.unit.jobs.found.test_optimise_found import did, later, prepared, toy, with_feedback

__all__ = ["later", "toy"]


class Hook(HTTPServer):
    """Receives digests. The first `failures` messages are refused."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.failures = failures
        self.received: list[tuple[dict[str, str], bytes]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.failures -= 1
        self.send_response(503 if self.server.failures >= 0 else 200)
        self.end_headers()
        if self.server.failures < 0:
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.server.received.append((headers, body))

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    monkeypatch.setattr(alerts, "WAITS_S", (0.0, 0.0))
    server = Hook(failures=2)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def ready(folder: Path, toy: Toy, hook: Hook | None, **jobs: object) -> Settings:
    words = {"webhook": f"http://127.0.0.1:{hook.server_port}", "webhook_secret": "s3cret"} if hook else {}
    settings = prepared(folder, toy, **words, **jobs)
    for file in (settings.data_folder / "found" / "templates" / PROMPT.id).glob("*.json"):
        file.unlink()
    found = replace(PROMPT, state=PromptState.FOUND)
    change_found(found_path(settings.data_folder), lambda _: FoundFile((found,)))
    stored(settings, *with_feedback(150))
    return settings


def improved(settings: Settings) -> list[dict[str, Any]]:
    job = did(settings, "improve-prompts", since="2020-01-01")
    assert job.state == DONE, job.reason
    return list(json.loads(job.report)["steps"])


@pytest.mark.parametrize(
    ("auto", "state", "is_sent"),
    [("off", "found", False), ("candidate", "adopted", False), ("canary", "adopted", True)],
)
def test_each_prompt_goes_as_far_as_is_allowed(
    tmp_path: Path, toy: Toy, hook: Hook, auto: str, state: str, is_sent: bool
) -> None:
    settings = ready(tmp_path, toy, hook, auto=auto)
    steps = improved(settings)
    (prompt,) = read_found(found_path(settings.data_folder)).prompts
    assert (prompt.state, prompt.spoken is not None) == (state, is_sent)
    if auto == "off":
        assert [step["what"] for step in steps] == ["found"]
        assert not toy.asked
        return
    assert [step["what"] for step in steps] == ["adopted", "contract", "rows", "better"]
    assert steps[-1]["commonest"] == pytest.approx(1 / 3, abs=0.1)
    assert "commonest answer" in steps[-1]["reason"]
    contract = read_contract(settings.data_folder, PROMPT.id)
    assert contract is not None
    assert contract.labels == LABELS


def test_the_digest_is_signed_sent_again_and_has_no_text(tmp_path: Path, toy: Toy, hook: Hook) -> None:
    improved(ready(tmp_path, toy, hook))
    ((headers, body),) = hook.received
    stamp = headers["x-foreword-timestamp"]
    wanted = hmac.new(b"s3cret", f"{stamp}.".encode() + body, "sha256").hexdigest()
    assert headers["x-foreword-signature"] == f"sha256={wanted}"
    assert json.loads(body)["digest"][0]["prompt"] == "triage"
    for secret in (b"s3cret", b"You sort", b"case 1", b"chip"):
        assert secret not in body


def test_a_prompt_on_trial_or_with_few_requests_or_answers_is_left(tmp_path: Path, toy: Toy) -> None:
    settings = ready(tmp_path, toy, None, auto="canary")
    improved(settings)
    (step,) = improved(settings)
    assert (step["what"], "on trial" in step["reason"]) == ("left", True)
    few = ready(tmp_path / "few", toy, None) if (tmp_path / "few").mkdir() is None else settings
    young = replace(PROMPT.newest, use=replace(PROMPT.newest.use, requests=3))
    change_found(found_path(few.data_folder), lambda _: FoundFile((PROMPT.with_version(young),)))
    assert [one["reason"] for one in improved(few)] == ["3 of 100 requests"]


def test_a_run_that_is_resumed_repeats_no_finished_job(tmp_path: Path, toy: Toy) -> None:
    settings = ready(tmp_path, toy, None)
    ledger = Ledger(jobs_folder(settings))
    improved(settings)
    kinds = [job.kind for job in ledger.jobs()]
    ledger.close()
    assert sorted(kinds) == ["harvest", "improve-prompts", "learn-contract", "optimise"]
    assert len(toy.asked) <= 600
