"""The access log: one line for each request, whatever became of it, and no text."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import UpstreamInThread
from tests.doubles.process import GatewayProcess, running
from tests.doubles.upstream import Script
from tests.e2e.test_reload import config, key
from tests.e2e.test_serving import ANSWER, EVENT, STREAM

SECRET_TEXT = "the moon is made of cheese"
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": SECRET_TEXT}]}
USAGE = b'data: {"id":"c1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":9,"total_tokens":16}}\n\n'
LOG = '[telemetry]\naccess_log = "access.log"\naccess_format = "json"\n'


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    text = config(upstream, server='trusted_proxies = ["127.0.0.1"]') + LOG
    with running(tmp_path_factory.mktemp("gateway"), text) as process:
        yield process


def lines(gateway: GatewayProcess, wanted: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    deadline, found = time.monotonic() + 10, []
    while time.monotonic() < deadline:
        file = gateway.folder / "access.log"
        found = [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []
        if wanted(found):
            return found
        time.sleep(0.05)
    raise AssertionError(found)


def last(gateway: GatewayProcess, path: str, status: int) -> dict[str, Any]:
    def is_it(line: dict[str, Any]) -> bool:
        return bool(line["path"] == path and line["status"] == status)

    return next(line for line in reversed(lines(gateway, lambda all: any(map(is_it, all)))) if is_it(line))


def chat(gateway: GatewayProcess, **more: Any) -> httpx.Response:
    headers = {**key("app"), **more.pop("headers", {})}
    return httpx.post(f"{gateway.url}/v1/chat/completions", json=CHAT | more, headers=headers, timeout=10)


def test_a_line_has_the_facts_of_a_request_and_nothing_of_its_text(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    upstream.double.play(Script(pieces=[ANSWER]))
    answer = chat(gateway)
    line = last(gateway, "/v1/chat/completions", 200)

    assert line["id"] == answer.headers["x-foreword-id"]
    assert (line["key"], line["model"], line["backend"], line["upstream"]) == ("app", "gpt-4o", "up", "gpt-4o")
    assert (line["tokens_read"], line["tokens_written"], line["ending"], line["method"]) == (1, 1, "finished", "POST")
    assert 0 < line["ms"] < 10_000
    whole = (gateway.folder / "access.log").read_text("utf-8")
    assert SECRET_TEXT not in whole
    assert "Hi" not in whole


def test_a_stream_has_its_tokens_and_a_failure_its_ending(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(headers=STREAM, framing="chunked", pieces=[EVENT, USAGE, b"data: [DONE]\n\n"]))
    id = chat(gateway, stream=True).headers["x-foreword-id"]
    (streamed,) = [
        one for one in lines(gateway, lambda all: any(one.get("id") == id for one in all)) if one.get("id") == id
    ]
    upstream.double.play(Script(status=500, pieces=[b'{"error":{"message":"no"}}']))
    chat(gateway)
    failed = last(gateway, "/v1/chat/completions", 500)

    assert (streamed["tokens_read"], streamed["tokens_written"]) == (7, 9)
    assert "tokens_read" not in failed


def test_refusals_and_other_routes_have_lines_too(gateway: GatewayProcess) -> None:
    httpx.post(f"{gateway.url}/v1/chat/completions", json=CHAT, headers=key("nobody"))
    httpx.get(f"{gateway.url}/v1/models?secret=1", headers=key("app"))
    httpx.get(f"{gateway.url}/v1/nothing%0aforged", headers=key("app"))

    assert "key" not in last(gateway, "/v1/chat/completions", 401)
    assert last(gateway, "/v1/models", 200)["key"] == "app"
    assert last(gateway, "/v1/nothing\nforged", 404)["method"] == "GET"
    assert "secret=1" not in (gateway.folder / "access.log").read_text("utf-8")


def test_a_client_that_leaves_is_a_499(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(end="stall", pieces=[]))
    with pytest.raises(httpx.TimeoutException):
        httpx.post(f"{gateway.url}/v1/chat/completions", json=CHAT, headers=key("app"), timeout=0.5)

    assert last(gateway, "/v1/chat/completions", 499)["ending"] == "left"


def test_the_client_is_the_one_that_the_trusted_proxy_saw(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(pieces=[ANSWER]))
    id = chat(gateway, headers={"x-forwarded-for": "1.2.3.4, 203.0.113.7"}).headers["x-foreword-id"]
    (line,) = [
        one for one in lines(gateway, lambda all: any(one.get("id") == id for one in all)) if one.get("id") == id
    ]

    # what comes before may be invented by the client
    assert line["client"] == "203.0.113.7"


def test_a_file_that_was_moved_is_made_anew(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(pieces=[ANSWER]))
    before = chat(gateway).headers["x-foreword-id"]
    lines(gateway, lambda all: any(one.get("id") == before for one in all))
    (gateway.folder / "access.log").rename(gateway.folder / "access.log.1")
    id = chat(gateway).headers["x-foreword-id"]

    assert [one["id"] for one in lines(gateway, lambda all: bool(all))] == [id]


@pytest.mark.parametrize(
    ("target", "said"),
    [("nowhere/access.log", "there is no folder"), (".", "is a folder")],
)
def test_a_log_that_cannot_be_written_is_told_before_the_port_opens(tmp_path: Path, target: str, said: str) -> None:
    from gateway.cli.check import mistakes

    file = tmp_path / "config.toml"
    file.write_text(
        '[backends.s]\nkind = "scripted"\n[prompt]\ntemplates = []\n[server]\ntrusted_proxies = ["proxy"]\n'
        f'[telemetry]\naccess_log = "{target}"\n'
    )
    problems = [str(problem) for problem in mistakes(file)]

    assert any("[telemetry] access_log" in problem and said in problem for problem in problems)
    assert any("'proxy' is no address or network" in problem for problem in problems)
