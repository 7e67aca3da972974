"""A model with several deployments, over HTTP: choice, handing over, and what the client is told."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import UpstreamInThread
from tests.doubles.process import GatewayProcess, running
from tests.doubles.upstream import Script

CONFIG = """
[data]
folder = "data"
[prompt]
mode = "off"
[records]
policy = "full"
[routing]
default = "chat"
retries = 1
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["m"]
[backends.eu]
kind = "scripted"
name = "eu-model"
answers = {{ "Where" = "In the EU." }}
[backends.us]
kind = "scripted"
name = "us-model"
answers = {{ "Where" = "In the US." }}
[models.chat]
[[models.chat.deployments]]
backend = "eu"
upstream = "eu-model"
tags = ["eu"]
[[models.chat.deployments]]
backend = "us"
upstream = "us-model"
tags = ["us"]
[models.first-remote]
fallback = "chat"
[[models.first-remote.deployments]]
backend = "up"
upstream = "m"
"""


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with running(tmp_path_factory.mktemp("deployments"), CONFIG.format(port=upstream.port)) as process:
        yield process


def ask(gateway: GatewayProcess, model: str = "chat", **headers: str) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "Where are you?"}]}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{gateway.url}/v1/chat/completions", json=body, headers=names, timeout=20)


def record_of(gateway: GatewayProcess, answer: httpx.Response) -> Any:
    address = f"{gateway.url}/v1/foreword/exchanges/{answer.headers['x-foreword-id']}"
    for _ in range(200):
        if (found := httpx.get(address, timeout=20)).status_code == 200:
            return found.json()
        time.sleep(0.05)
    raise AssertionError(found.text)


def text(answer: httpx.Response) -> str:
    content: str = answer.json()["choices"][0]["message"]["content"]
    return content


@pytest.mark.parametrize(("tag", "place"), [("eu", "EU"), ("us", "US")])
def test_a_tag_chooses_the_deployment(gateway: GatewayProcess, tag: str, place: str) -> None:
    assert {text(ask(gateway, x_foreword_tags=tag)) for _ in range(5)} == {f"In the {place}."}


def test_an_unknown_tag_is_refused_with_the_known_ones(gateway: GatewayProcess) -> None:
    answer = ask(gateway, x_foreword_tags="asia")

    assert answer.status_code == 400
    assert "Known tags: eu, us" in answer.json()["error"]["message"]


def test_without_tags_all_deployments_answer(gateway: GatewayProcess) -> None:
    assert {text(ask(gateway)) for _ in range(40)} == {"In the EU.", "In the US."}


def test_a_refusal_for_the_moment_hands_over_to_the_fallbacks_deployments(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    upstream.double.play(Script(status=429, headers=[("retry-after", "0")], pieces=[b'{"error":{"message":"busy"}}']))

    answer = ask(gateway, "first-remote")
    assert text(answer) in ("In the EU.", "In the US.")

    [note] = [note for note in record_of(gateway, answer)["notes"] if note["decision"] == "handed over"]
    assert (note["stage"], note["reason"]) == ("route", "up: status 429")
    assert note["data"] == {"answered": answer.headers["x-foreword-backend"]}
