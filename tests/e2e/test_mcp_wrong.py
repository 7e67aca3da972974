"""MCP servers that talk nonsense, the older transport, and tools that are always offered. The model is a stub."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from tests.conftest import UpstreamInThread
from tests.doubles.handbook import said, sent
from tests.doubles.mcp_process import mcp_server, wait_for_mcp
from tests.doubles.process import GatewayProcess, running
from tests.doubles.wrong_mcp import KINDS, wrong_server
from tests.e2e.test_mcp import calls, mcp

HEAD = """
[prompt]
templates = []
[records]
policy = "none"
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["*"]
[routing]
default = "gpt-4o"
[keys.alice]
secret = "alice-key"
[keys.always]
secret = "always-key"
[mcp.servers.good]
url = "http://127.0.0.1:{web}/sse"
transport = "sse"
[mcp.servers.offered]
url = "http://127.0.0.1:{web}/sse"
transport = "sse"
tools = ["add"]
offer = "always"
keys = ["always"]
[mcp.servers.broken]
url = "http://127.0.0.1:{wrong}/tools/list/text"
offer = "always"
keys = ["always"]
"""
ONE = """
[mcp.servers.{name}]
url = "http://127.0.0.1:{wrong}/{stage}/{kind}"
connect_timeout_s = 4
timeout_s = 2
"""
STAGES = {"initialize": "initialize", "list": "tools/list", "call": "tools/call"}


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with wrong_server() as wrong, mcp_server("sse") as web:
        config = HEAD.format(port=upstream.port, web=web, wrong=wrong)
        for name, stage in STAGES.items():
            for kind in KINDS:
                config += ONE.format(name=f"{name}_{kind}", stage=stage, kind=kind, wrong=wrong)
        with running(tmp_path_factory.mktemp("mcp"), config) as process:
            wait_for_mcp(web)
            yield process


def respond(gateway: GatewayProcess, *tools: Any, key: str = "alice", **more: Any) -> Any:
    with openai.OpenAI(base_url=gateway.url + "/v1", api_key=f"{key}-key", max_retries=0) as client:
        return client.responses.create(model="gpt-4o", input="Go", tools=list(tools), **more)


def test_the_older_transport_works(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(calls(("good__add", {"a": 2, "b": 3})), said("Five."))
    response = respond(gateway, mcp("good"))
    [call] = [item for item in response.output if item.type == "mcp_call"]
    assert (call.output, response.output_text) == ("5", "Five.")


def test_what_is_always_offered_needs_an_approval_only_if_the_configuration_says_so(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    upstream.double.play(calls(("offered__add", {"a": 2, "b": 3})), said("Five."))
    response = respond(gateway, key="always")
    lists = {item.server_label: item for item in response.output if item.type == "mcp_list_tools"}
    assert [tool.name for tool in lists["offered"].tools] == ["add"]
    assert lists["broken"].error
    [call] = [item for item in response.output if item.type == "mcp_call"]
    assert (call.output, response.output_text) == ("5", "Five.")


def test_what_is_always_offered_to_one_key_is_not_offered_to_another(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    upstream.double.play(said("Hi."))
    assert [item.type for item in respond(gateway).output] == ["message"]
    assert "tools" not in sent(upstream)


@pytest.mark.parametrize("stage", [pytest.param("initialize", marks=pytest.mark.long), "list"])
def test_a_server_that_cannot_list_its_tools_is_a_424(
    gateway: GatewayProcess, upstream: UpstreamInThread, stage: str
) -> None:
    upstream.double.play(said("never"))

    def status(kind: str) -> tuple[str, int | None, str | None]:
        try:
            respond(gateway, mcp(f"{stage}_{kind}"))
        except openai.APIStatusError as error:
            return kind, error.status_code, error.code
        return kind, None, None

    began = time.monotonic()
    with ThreadPoolExecutor(len(KINDS)) as pool:
        outcomes = list(pool.map(status, KINDS))
    assert outcomes == [(kind, 424, "mcp_server_unavailable") for kind in KINDS]
    assert time.monotonic() - began < 30, "no server waits for another"
    assert upstream.double.received == []


def test_a_server_that_answers_a_call_with_nonsense_fails_that_call_alone(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    labels = [f"call_{kind}" for kind in KINDS]
    upstream.double.play(
        calls(*[(f"{label}__t", {}) for label in labels], ("good__add", {"a": 2, "b": 3})), said("So.")
    )
    response = respond(gateway, *[mcp(label) for label in labels], mcp("good"))
    made = {item.server_label: item for item in response.output if item.type == "mcp_call"}
    assert made["good"].output == "5"
    assert {label: (made[label].status, bool(made[label].error)) for label in labels} == dict.fromkeys(
        labels, ("failed", True)
    )
    assert response.output_text == "So."
