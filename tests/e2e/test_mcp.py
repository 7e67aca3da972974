"""Tools of MCP servers on `/v1/responses`: real servers over HTTP and stdio, made with the official SDK, a real
gateway, the stock `openai` client, and a scripted upstream in place of a paid model."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from openai import APIStatusError, OpenAI

from tests.conftest import UpstreamInThread
from tests.doubles.handbook import said, sent, streamed
from tests.doubles.mcp_process import SERVER, mcp_server, wait_for_mcp
from tests.doubles.ports import free_port
from tests.doubles.process import GatewayProcess, running
from tests.doubles.upstream import Script

CONFIG = """
[prompt]
templates = []
[records]
drain_s = 0.2
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["*"]
[routing]
default = "gpt-4o"
[keys.alice]
secret = "alice-key"
[keys.bob]
secret = "bobby-key"
[mcp]
max_rounds = 2
[mcp.servers.web]
url = "http://127.0.0.1:{web}/mcp"
[mcp.servers.own]
command = "{python}"
args = ["{server}"]
keys = ["alice"]
timeout_s = 3.0
max_output_kb = 2
connect_timeout_s = 60.0
[mcp.servers.memory]
command = "{python}"
args = ["{server}"]
connect_timeout_s = 60.0
[mcp.servers.down]
url = "http://127.0.0.1:{down}/mcp"
[mcp.servers.careful]
url = "http://127.0.0.1:{web}/mcp"
approval = "always"
"""


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with mcp_server() as web:
        more = {"down": free_port(), "python": sys.executable, "server": SERVER}
        with running(tmp_path_factory.mktemp("mcp"), CONFIG.format(port=upstream.port, web=web, **more)) as process:
            wait_for_mcp(web)
            yield process


@pytest.fixture(scope="module")
def alice(gateway: GatewayProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=gateway.url + "/v1", api_key="alice-key", max_retries=0) as client:
        yield client


def calls(*wanted: tuple[str, dict[str, Any]]) -> Script:
    listed = [
        {"id": f"c{at}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for at, (name, arguments) in enumerate(wanted)
    ]
    message = {"role": "assistant", "content": None, "tool_calls": listed}
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}], "usage": usage}
    return Script(pieces=[json.dumps(body).encode()])


def streamed_call(name: str, *arguments: str) -> Script:
    first = {"index": 0, "id": "c0", "function": {"name": name, "arguments": ""}}
    parts = [first, *({"index": 0, "function": {"arguments": text}} for text in arguments)]
    choices: list[dict[str, Any]] = [{"index": 0, "delta": {"tool_calls": [part]}} for part in parts]
    choices.append({"index": 0, "delta": {}, "finish_reason": "tool_calls"})
    pieces = [b"data: " + json.dumps({"choices": [one]}).encode() + b"\n\n" for one in choices]
    return Script(
        headers=[("content-type", "text/event-stream")], pieces=[*pieces, b"data: [DONE]\n\n"], framing="chunked"
    )


def mcp(label: str, **more: Any) -> Any:
    return {"type": "mcp", "server_label": label, "require_approval": "never", **more}


def test_the_gateway_calls_the_tool_and_shows_the_list_the_call_and_the_answer(
    alice: OpenAI, upstream: UpstreamInThread
) -> None:
    upstream.double.play(
        calls(("web__add", {"a": 2, "b": 3})),
        said(
            "Five.",
        ),
    )

    response = alice.responses.create(model="gpt-4o", input="2 + 3?", tools=[mcp("web", allowed_tools=["add"])])

    listed, call, message = response.output
    assert listed.type == "mcp_list_tools" and [tool.name for tool in listed.tools] == ["add"]
    assert call.type == "mcp_call" and (call.status, call.output, call.name) == ("completed", "5", "add")
    assert json.loads(call.arguments) == {"a": 2, "b": 3} and call.server_label == "web"
    assert message.type == "message" and response.output_text == "Five."
    first, second = (json.loads(one.body) for one in upstream.double.received)
    # a description comes from outside, so its control token is broken up
    (function,) = [tool["function"] for tool in first["tools"]]
    assert function["name"] == "web__add" and "<|im_start|>" not in function["description"]
    assert [turn["role"] for turn in second["messages"]] == ["user", "assistant", "tool"]
    assert second["messages"][2]["content"] == "5"
    assert response.usage is not None and response.usage.input_tokens == 10


def test_a_stream_has_the_documented_events_in_order(alice: OpenAI, upstream: UpstreamInThread) -> None:
    upstream.double.play(streamed_call("web__add", '{"a": 2,', ' "b": 3}'), streamed("Fi", "ve."))

    with alice.responses.stream(model="gpt-4o", input="2 + 3?", tools=[mcp("web")]) as stream:
        events = list(stream)
        final = stream.get_final_response()

    kinds = [event.type.removeprefix("response.") for event in events if "mcp" in event.type]
    assert kinds == [
        "mcp_list_tools.in_progress",
        "mcp_list_tools.completed",
        "mcp_call.in_progress",
        "mcp_call_arguments.delta",
        "mcp_call_arguments.delta",
        "mcp_call_arguments.done",
        "mcp_call.completed",
    ]
    assert [event.sequence_number for event in events] == sorted({event.sequence_number for event in events})
    assert final.output_text == "Five." and [item.type for item in final.output][1] == "mcp_call"


@pytest.mark.parametrize(
    ("tool", "expected"), [("fail", "Error executing tool"), ("slow", "within"), ("add", "validation")]
)
def test_a_failed_call_is_shown_and_the_model_goes_on(
    alice: OpenAI, upstream: UpstreamInThread, tool: str, expected: str
) -> None:
    upstream.double.play(calls((f"own__{tool}", {})), said("Sorry."))

    response = alice.responses.create(model="gpt-4o", input="Go", tools=[mcp("own")])

    call = response.output[1]
    assert call.type == "mcp_call" and (call.status, call.output) == ("failed", None)
    assert call.error is not None and expected in call.error.to_json()
    assert response.output_text == "Sorry."


def test_a_large_output_is_cut_and_its_control_tokens_are_broken(alice: OpenAI, upstream: UpstreamInThread) -> None:
    upstream.double.play(calls(("own__large", {})), said("Much."))

    alice.responses.create(model="gpt-4o", input="Go", tools=[mcp("own")])

    content = sent(upstream)["messages"][-1]["content"]
    assert len(content) < 3000 and "The output is cut" in content and "<|im_start|>" not in content


def test_a_function_of_the_client_ends_the_loop_and_keeps_its_name(alice: OpenAI, upstream: UpstreamInThread) -> None:
    upstream.double.play(calls(("web__add", {"a": 1}), ("web__add_x", {})))
    own: Any = {"type": "function", "name": "web__add", "parameters": {"type": "object"}, "strict": False}

    response = alice.responses.create(model="gpt-4o", input="Go", tools=[own, mcp("web")])

    names = [each["function"]["name"] for each in sent(upstream)["tools"]]
    assert names.count("web__add") == 1 and names[0] == "web__add"
    assert [item.type for item in response.output] == ["mcp_list_tools", "function_call", "function_call"]
    assert len(upstream.double.received) == 1


def test_a_model_that_calls_for_ever_is_stopped(alice: OpenAI, upstream: UpstreamInThread) -> None:
    upstream.double.play(calls(("web__add", {"a": 1, "b": 1})))

    response = alice.responses.create(model="gpt-4o", input="Go", tools=[mcp("web")])

    made = [item for item in response.output if item.type == "mcp_call"]
    assert [item.status for item in made] == ["completed", "completed", "failed"]
    assert sent(upstream)["tool_choice"] == "none" and len(upstream.double.received) == 3


@pytest.mark.parametrize(
    ("key", "tool", "status", "param"),
    [
        ("alice-key", mcp("other"), 400, "tools[0].server_label"),
        ("alice-key", mcp("x", server_url="http://169.254.169.254/"), 400, "tools[0].server_url"),
        ("alice-key", mcp("web", server_url="http://127.0.0.1:1/"), 400, "tools[0].server_url"),
        ("alice-key", mcp("web", authorization="secret"), 400, "tools[0].authorization"),
        ("bobby-key", mcp("own"), 400, "tools[0].server_label"),
        ("alice-key", mcp("down"), 424, "tools[0]"),
    ],
)
def test_a_server_that_may_not_or_cannot_be_used_is_an_error(
    gateway: GatewayProcess, upstream: UpstreamInThread, key: str, tool: Any, status: int, param: str
) -> None:
    upstream.double.play(said("never"))
    with (
        OpenAI(base_url=gateway.url + "/v1", api_key=key, max_retries=0) as client,
        pytest.raises(APIStatusError) as refused,
    ):
        client.responses.create(model="gpt-4o", input="Go", tools=[tool])

    assert (refused.value.status_code, refused.value.param) == (status, param)
    assert not upstream.double.received


@pytest.mark.parametrize("approve", [True, False])
def test_a_call_waits_for_the_approval_of_the_client(alice: OpenAI, upstream: UpstreamInThread, approve: bool) -> None:
    upstream.double.play(calls(("careful__add", {"a": 2, "b": 3})))
    asked = alice.responses.create(model="gpt-4o", input="2 + 3?", tools=[mcp("careful")])
    request = asked.output[1]
    assert request.type == "mcp_approval_request" and len(upstream.double.received) == 1
    upstream.double.play(said("Done."))

    answer: Any = {"type": "mcp_approval_response", "approval_request_id": request.id, "approve": approve}
    items: Any = [{"role": "user", "content": "2 + 3?"}, *(item.to_dict() for item in asked.output), answer]
    response = alice.responses.create(model="gpt-4o", input=items, tools=[mcp("careful")])

    result = sent(upstream)["messages"][-1]
    assert result["role"] == "tool" and (result["content"] == "5") is approve
    made = [item for item in response.output if item.type == "mcp_call"]
    assert [(call.output, call.approval_request_id) for call in made] == ([("5", request.id)] if approve else [])


def test_a_response_with_calls_can_be_continued(alice: OpenAI, upstream: UpstreamInThread) -> None:
    upstream.double.play(calls(("web__add", {"a": 2, "b": 3})), said("Five."))
    first = alice.responses.create(model="gpt-4o", input="2 + 3?", tools=[mcp("web")])
    upstream.double.play(said("Yes."))

    items: Any = [*(item.to_dict() for item in first.output), {"role": "user", "content": "Sure?"}]
    second = alice.responses.create(model="gpt-4o", input=items, tools=[mcp("web")])

    assert [turn["role"] for turn in sent(upstream)["messages"]] == ["assistant", "tool", "assistant", "user"]
    assert [item.type for item in second.output] == ["message"]


def test_a_server_that_died_fails_one_call_and_serves_the_next(alice: OpenAI, upstream: UpstreamInThread) -> None:
    upstream.double.play(calls(("memory__die", {})), calls(("memory__add", {"a": 2, "b": 3})), said("Five."))

    response = alice.responses.create(model="gpt-4o", input="Go", tools=[mcp("memory")])

    made = [item for item in response.output if item.type == "mcp_call"]
    assert [(call.status, call.output) for call in made] == [("failed", None), ("completed", "5")]


def test_what_a_server_remembers_of_one_key_never_reaches_another(
    gateway: GatewayProcess, upstream: UpstreamInThread
) -> None:
    outputs = []
    for key in ("alice", "bobby"):
        upstream.double.play(calls(("memory__remember", {"text": key})), said("Noted."))
        with OpenAI(base_url=gateway.url + "/v1", api_key=f"{key}-key", max_retries=0) as client:
            response = client.responses.create(model="gpt-4o", input="Go", tools=[mcp("memory")])
        outputs += [item.output for item in response.output if item.type == "mcp_call"]

    assert outputs == ["alice", "bobby"]
