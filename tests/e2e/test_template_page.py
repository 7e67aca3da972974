"""The page of what waits to speak, over a real socket: what it shows, what its buttons do, and whom it refuses."""

import json
import re
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import UpstreamInThread
from tests.doubles.process import GatewayProcess

CONFIG = """
[backends.upstream]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
api_key = "sk-upstream"
models = ["*"]
[prompt]
templates = ["mine"]
[keys.app]
secret = "app-key"
[keys.admin]
secret = "admin-key"
admin = true
[records]
policy = "none"
"""
TEMPLATE = """---
schema: 1
id: brief.en
version: {version}
status: {status}
language: en
intent:
  name: brief
  match: [about boats, about trees, about rivers, about hills, the moon, a lake, old maps, birds]
  not: [write code, translate this]
tests: [{{query: tell me about seas, expect: [{{contains: tell me about seas}}]}}]
provenance: {{origin: job, scores: {{this: "0.950"}}}}
---
# user
{{{{ query }}}}

{line}
"""
PAGE = "/v1/foreword/templates.html"


@pytest.fixture
def gateway(upstream: UpstreamInThread, tmp_path: Path) -> Iterator[GatewayProcess]:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "brief.prompt.md").write_text(TEMPLATE.format(version=1, status="active", line="Be brief."), "utf-8")
    second = TEMPLATE.format(version=2, status="candidate", line="Be brief & <b>clear</b>.")
    (mine / "brief.v2.prompt.md").write_text(second, "utf-8")
    process = GatewayProcess(tmp_path, CONFIG.format(port=upstream.port))
    try:
        process.wait("/health/live")
        _wait_for_templates(process)
        yield process
    finally:
        process.stop()


def _wait_for_templates(gateway: GatewayProcess, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while (
        httpx.get(f"{gateway.url}/v1/foreword/templates", headers={"authorization": "Bearer admin-key"}).status_code
        != 200
    ):
        assert time.monotonic() < deadline, gateway.log.read_text("utf-8")
        time.sleep(0.05)


def as_browser(gateway: GatewayProcess, origin: str = "") -> dict[str, str]:
    """What a browser sends that was given the key as a password, from a page of that origin."""
    return {"authorization": f"Basic {b64encode(b'me:admin-key').decode()}", "origin": origin or gateway.url}


def button(gateway: GatewayProcess, label: str) -> dict[str, str]:
    """The fields of the form with that button, as the page has them."""
    shown = httpx.get(f"{gateway.url}{PAGE}", headers=as_browser(gateway)).text
    (form,) = [one for one in re.findall(r"<form.*?</form>", shown) if f"<button>{label}</button>" in one]
    return dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))


def press(gateway: GatewayProcess, label: str) -> httpx.Response:
    return httpx.post(f"{gateway.url}{PAGE}", data=button(gateway, label), headers=as_browser(gateway))


def served(gateway: GatewayProcess) -> dict[str, object]:
    asked = {"authorization": "Bearer admin-key"}
    listed = httpx.get(f"{gateway.url}/v1/foreword/templates/brief.en", headers=asked).json()["template"]
    status = {one["version"]: one["status"] for one in listed["versions"]}
    return {"speaks": listed["speaks"], "canary": (listed["pointer"] or {}).get("canary", 0), "status": status[2]}


def test_a_candidate_is_looked_at_and_goes_all_the_way_and_back_by_buttons(gateway: GatewayProcess) -> None:
    shown = httpx.get(f"{gateway.url}{PAGE}", headers=as_browser(gateway))
    assert shown.status_code == 200
    assert "<ins>+Be brief &amp; &lt;b&gt;clear&lt;/b&gt;.</ins>" in shown.text
    assert "0.950" in shown.text
    assert "admin-key" not in shown.text and "<script" not in shown.text

    assert press(gateway, "Promote to canary").status_code == 303
    assert served(gateway) == {"speaks": 1, "canary": 2, "status": "canary"}
    assert press(gateway, "Promote to active").status_code == 303
    assert served(gateway) == {"speaks": 2, "canary": 0, "status": "active"}
    assert press(gateway, "Roll back").status_code == 303
    assert served(gateway)["speaks"] == 1


def test_what_waits_can_be_retired(gateway: GatewayProcess) -> None:
    assert press(gateway, "Retire").status_code == 303
    assert served(gateway) == {"speaks": 1, "canary": 0, "status": "retired"}


def test_the_same_button_pressed_twice_moves_it_once(gateway: GatewayProcess) -> None:
    fields = button(gateway, "Promote to canary")
    answers = [httpx.post(f"{gateway.url}{PAGE}", data=fields, headers=as_browser(gateway)) for _ in range(2)]
    assert [one.status_code for one in answers] == [303, 409]
    assert "the next step is active, not canary" in answers[1].text
    assert served(gateway)["status"] == "canary"


def test_nobody_else_moves_anything(gateway: GatewayProcess) -> None:
    fields = button(gateway, "Promote to canary")

    def sent(headers: dict[str, str], to: str = PAGE) -> int:
        return httpx.post(f"{gateway.url}{to}", data=fields, headers=headers).status_code

    without_origin = {name: value for name, value in as_browser(gateway).items() if name != "origin"}
    assert sent({}) == 401
    assert sent({"authorization": "Bearer app-key"}) == 403
    assert sent(as_browser(gateway, "https://evil.example")) == 403
    assert sent(as_browser(gateway, "null")) == 403
    assert sent(without_origin) == 403
    # the password that a browser sends along by itself opens the pages and nothing else
    assert sent(as_browser(gateway), "/v1/foreword/templates/reload") == 401
    assert served(gateway)["status"] == "candidate"
    asked = httpx.get(f"{gateway.url}{PAGE}")
    assert (asked.status_code, asked.headers["www-authenticate"][:6]) == (401, "Basic ")


@pytest.mark.parametrize(
    "fields", [{}, {"do": "delete", "ref": "brief.en@2"}, {"do": "promote", "ref": "brief.en@2", "share": "much"}]
)
def test_a_form_that_says_nothing_of_use_is_refused(gateway: GatewayProcess, fields: dict[str, str]) -> None:
    answer = httpx.post(f"{gateway.url}{PAGE}", data=fields, headers={"authorization": "Bearer admin-key"})
    assert answer.status_code == 400
    assert json.loads(answer.text)["error"]["message"]
