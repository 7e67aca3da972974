"""Each file in cases/ is one wire behaviour: what the client sends, what the upstream does, what must come of it."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.conftest import UpstreamInThread
from tests.doubles.ports import free_port
from tests.doubles.process import GatewayProcess, running
from tests.doubles.upstream import Script, Upstream

CASES = sorted(Path(__file__).with_name("cases").glob("*.yaml"))
CONFIG = """
[data]
folder = "data"
[prompt]
mode = "off"
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{upstream}/v1"
api_key = "sk-upstream-secret"
models = ["*"]
responses = ["native-*"]
idle_timeout_s = 1.0
[backends.dead]
kind = "openai"
base_url = "http://127.0.0.1:{dead}/v1"
models = ["dead-model"]
[backends.claude]
kind = "anthropic"
base_url = "http://127.0.0.1:{upstream}/v1"
api_key = "sk-ant-upstream-secret"
models = ["claude-*"]
[backends.azure]
kind = "azure"
base_url = "http://127.0.0.1:{upstream}"
api_key = "azure-upstream-secret"
api_version = "2024-10-21"
models = ["azure-*"]
[backends.azure-v1]
kind = "azure"
base_url = "http://127.0.0.1:{upstream}"
token_command = ["echo", "entra-upstream-secret"]
models = ["azure-v1-*"]
[backends.gemini]
kind = "gemini"
base_url = "http://127.0.0.1:{upstream}/v1beta"
api_key = "google-upstream-secret"
models = ["gemini-*"]
[backends.azure-no-token]
kind = "azure"
base_url = "http://127.0.0.1:{upstream}"
token_command = ["false"]
models = ["no-token"]
[models.no-token-then-gpt]
backend = "azure-no-token"
fallback = "renamed"
[backends.bedrock]
kind = "bedrock"
base_url = "http://127.0.0.1:{upstream}"
region = "us-east-1"
api_key = "bedrock-upstream-secret"
models = ["us.*", "amazon.*"]
[backends.signed-bedrock]
kind = "bedrock"
base_url = "http://127.0.0.1:{upstream}"
region = "us-east-1"
access_key_id = "AKIA1"
secret_access_key = "signing-upstream-secret"
models = ["signed"]
[models.signed-then-gpt]
backend = "signed-bedrock"
upstream = "eu.anthropic.claude-4:0"
fallback = "renamed"
[models.gemini-then-gpt]
backend = "gemini"
upstream = "gemini-2.5-flash"
fallback = "renamed"
[models.azure-renamed]
backend = "azure"
upstream = "team a/gpt-4o"
[models.claude-renamed]
backend = "claude"
upstream = "claude-4-2026-01-01"
[models.sick-then-claude]
backend = "up"
fallback = "claude-renamed"
[models.claude-with-fallback]
backend = "claude"
upstream = "claude-4"
fallback = "renamed"
[models.renamed]
backend = "up"
upstream = "gpt-4o-2024-11-20"
[models.native-renamed]
backend = "up"
upstream = "native-2024-11-20"
[models.with-fallback]
backend = "dead"
fallback = "renamed"
[models.sick]
backend = "up"
upstream = "sick-model"
fallback = "renamed"
[models.dead]
backend = "dead"
[routing]
default = "gpt-4o"
trip_after = 1000  # many cases fail on purpose
"""


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    config = CONFIG.format(upstream=upstream.port, dead=free_port())
    with running(tmp_path_factory.mktemp("golden"), config) as process:
        yield process


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_wire_behaviour(file: Path, gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    case = yaml.safe_load(file.read_text("utf-8"))
    double = upstream.double
    double.play(*[_script(entry) for entry in case.get("upstream", [{}])])
    sent = _bytes(case["request"]["body"])

    headers = {"content-type": "application/json", "accept-encoding": "identity"}
    with httpx.stream(
        case["request"].get("method", "POST"),
        gateway.url + case["request"].get("path", "/v1/chat/completions"),
        content=sent,
        headers=headers | case["request"].get("headers", {}),
        timeout=20,
    ) as answer:
        body = b"".join(answer.iter_raw())

    expect = case["expect"]
    assert answer.status_code == expect["status"], body
    for name, value in expect.get("headers", {}).items():
        assert answer.headers.get(name) == value, name
    for name in expect.get("absent_headers", []):
        assert name not in answer.headers
    _check_body(body, expect, double, case)
    _check_sent(double, expect, sent)


def _check_body(body: bytes, expect: dict[str, Any], double: Upstream, case: dict[str, Any]) -> None:
    came = b"".join(piece for entry in case.get("upstream", [{}])[-1:] for piece in _script(entry).pieces)
    kind = expect.get("body", "as_upstream")
    if kind == "as_upstream":
        assert body == came
    elif kind == "with_account":
        assert _without_account(body) == came
    elif kind == "then_error":
        came = _bytes(expect["passed"]) if "passed" in expect else came
        assert body.startswith(came)
        event = body[len(came) :].strip()
        assert event.startswith(b"data: ")
        assert json.loads(event[6:])["error"]["code"] == expect["code"]
        assert b"[DONE]" not in event
    elif kind == "response":
        assert _asserted(json.loads(body), expect["response"])
    elif kind == "response_events":
        _check_events(body, came, expect)
    elif kind == "data":
        events = [json.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: {")]
        assert _asserted(events, expect["data"]), body.decode()
        assert body.endswith(_bytes(expect["end"]))
    elif kind == "message_error":
        told = json.loads(body)
        assert set(told) == {"type", "error", "request_id"} and told["type"] == "error"
        assert told["error"]["type"] == expect["error"]
        for words in expect.get("message_has", []):
            assert words in told["error"]["message"]
        assert b"127.0.0.1" not in body and b"upstream-secret" not in body
    elif kind == "error":
        error = json.loads(body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert {name: error[name] for name in expect["error"]} == expect["error"]
        for words in expect.get("message_has", []):
            assert words in error["message"]
        assert b"127.0.0.1" not in body, "an address of the upstream is nobody's business"
        assert b"sk-upstream-secret" not in body
    else:
        assert body == _bytes(kind)


def _without_account(body: bytes) -> bytes:
    """The body less the member `foreword`, which is there once and names the exchange."""
    text, member = body.decode("utf-8"), ',"foreword":'
    start = text.index(member)
    account, end = json.JSONDecoder().raw_decode(text, start + len(member))
    assert account["exchange"].startswith("fw-")
    assert text.count(member) == 1
    return (text[:start] + text[end:]).encode()


def _check_events(body: bytes, came: bytes, expect: dict[str, Any]) -> None:
    """The types of the events in their order, what the last one holds, and which bytes came first."""
    if expect.get("as_upstream_first"):
        assert body.startswith(came)
    events = [json.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: {")]
    assert [event["type"].removeprefix("response.") for event in events] == expect["types"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert _asserted(events[-1], expect["last"])


def _asserted(found: Any, wanted: Any) -> bool:
    """Whether all that is wanted is found; what else there is does not matter."""
    if isinstance(wanted, dict):
        return all(name in found and _asserted(found[name], value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(_asserted, found, wanted))
    return bool(found == wanted)


def _check_sent(double: Upstream, expect: dict[str, Any], sent: bytes) -> None:
    assert len(double.received) == expect.get("calls", 1)
    if not double.received:
        return
    last = double.received[-1]
    if "sent_json" in expect:
        assert json.loads(last.body) == expect["sent_json"]
    else:
        assert last.body == (_bytes(expect["sent"]) if "sent" in expect else sent)
    if "sent_path" in expect:
        assert last.line.split(" ")[1] == expect["sent_path"]
    for name, value in expect.get("sent_headers", {}).items():
        assert last.headers.get(name) == value, name
    for name in expect.get("unsent_headers", []):
        assert name not in last.headers


def _script(entry: dict[str, Any]) -> Script:
    headers = [(name, value) for name, value in entry.get("headers", {"content-type": "application/json"}).items()]
    return Script(
        status=entry.get("status", 200),
        headers=headers,
        pieces=[_bytes(piece) for piece in entry.get("pieces", [])],
        framing=entry.get("framing", "length"),
        end=entry.get("end", "whole"),
    )


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, dict) and "repeat" in value:
        return _bytes(value["before"]) + _bytes(value["repeat"]) * value["times"] + _bytes(value["after"])
    if isinstance(value, dict):
        return base64.b64decode(value["base64"])
    return str(value).encode()
