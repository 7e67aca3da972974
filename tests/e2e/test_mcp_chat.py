"""Tools of MCP servers on chat completions and `/v1/messages`, by the official clients: a real MCP server, a real
gateway, and a scripted upstream in place of a paid model, which speaks OpenAI's API and Anthropic's."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from tests.conftest import UpstreamInThread
from tests.doubles.handbook import said, sent, streamed
from tests.doubles.mcp_process import mcp_server, wait_for_mcp
from tests.doubles.process import GatewayProcess, running
from tests.doubles.upstream import Script
from tests.e2e.test_mcp import calls, mcp, streamed_call

CONFIG = """
[prompt]
templates = []
[records]
drain_s = 0.2
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["gpt-4o"]
[backends.ant]
kind = "anthropic"
base_url = "http://127.0.0.1:{port}/v1"
models = ["claude"]
[keys.alice]
secret = "alice-key"
[keys.bob]
secret = "bobby-key"
[mcp]
max_rounds = 2
[mcp.servers.web]
url = "http://127.0.0.1:{web}/mcp"
[mcp.servers.hers]
url = "http://127.0.0.1:{web}/mcp"
keys = ["alice"]
[mcp.servers.careful]
url = "http://127.0.0.1:{web}/mcp"
approval = "always"
[mcp.servers.down]
url = "http://127.0.0.1:9/mcp"
"""
ADD: Any = {"a": 2, "b": 3}
SERVERS: Any = [{"type": "url", "url": "", "name": "web"}]
MODELS = ["claude", "gpt-4o"]


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with (
        mcp_server() as web,
        running(tmp_path_factory.mktemp("mcp"), CONFIG.format(port=upstream.port, web=web)) as process,
    ):
        wait_for_mcp(web)
        yield process


@pytest.fixture(scope="module")
def chat(gateway: GatewayProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway.url + "/v1", api_key="alice-key", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def claude(gateway: GatewayProcess) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=gateway.url, api_key="alice-key", max_retries=0) as client:
        yield client


def ask(client: openai.OpenAI, *tools: Any, **more: Any) -> Any:
    return client.chat.completions.create(
        model=more.pop("model", "gpt-4o"), messages=[{"role": "user", "content": "2 + 3?"}], tools=list(tools), **more
    )


def message(client: anthropic.Anthropic, model: str, **more: Any) -> Any:
    given = {"max_tokens": 99, "messages": [{"role": "user", "content": "2 + 3?"}], "mcp_servers": SERVERS} | more
    return client.beta.messages.create(model=model, betas=["mcp-client-2025-11-20"], **given)


def of_model(model: str, text: str = "", **tools: Any) -> Script:
    """An answer with a text, or with calls of tools, in the API of the model's backend."""
    if model == "gpt-4o":
        return calls(*tools.items()) if tools else said(text)
    content = [{"type": "tool_use", "id": f"toolu_{n}", "name": n, "input": given} for n, given in tools.items()]
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [*([{"type": "text", "text": text}] if text else []), *content],
        "stop_reason": "tool_use" if tools else "end_turn",
        "usage": {"input_tokens": 10, "output_tokens": 5},
    }
    return Script(pieces=[json.dumps(body).encode()])


def streamed_message(*blocks: dict[str, Any]) -> Script:
    """A stream of Anthropic's API with these blocks."""
    start = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": []}
    usage = {"input_tokens": 10, "output_tokens": 1}
    events: list[Any] = [{"type": "message_start", "message": {**start, "stop_reason": None, "usage": usage}}]
    for index, block in enumerate(blocks):
        text, given = block.get("text"), block.get("input")
        empty = {**block, **({"text": ""} if text else {"input": {}})}
        written = json.dumps(given)
        deltas = (
            [{"type": "text_delta", "text": text}]
            if text
            else [{"type": "input_json_delta", "partial_json": part} for part in (written[:5], written[5:])]
        )
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    reason = "tool_use" if any("input" in block for block in blocks) else "end_turn"
    events.append({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 5}})
    events.append({"type": "message_stop"})
    pieces = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]
    return Script(headers=[("content-type", "text/event-stream")], pieces=pieces, framing="chunked")


def use(name: str, **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{name}", "name": name, "input": given}


# chat completions


def test_a_chat_gets_the_answer_after_the_call(chat: openai.OpenAI, upstream: UpstreamInThread) -> None:
    upstream.double.play(calls(("web__add", ADD)), said("Five.", reasoning_content="Easy."))

    answer = ask(chat, mcp("web", allowed_tools=["add"]))

    choice = answer.choices[0]
    assert (choice.message.content, choice.message.tool_calls, choice.finish_reason) == ("Five.", None, "stop")
    assert choice.message.reasoning_content == "Easy."
    assert answer.usage.prompt_tokens == 10
    first, second = (json.loads(one.body) for one in upstream.double.received)
    assert [tool["function"]["name"] for tool in first["tools"]] == ["web__add"]
    assert [turn["role"] for turn in second["messages"]] == ["user", "assistant", "tool"]
    assert second["messages"][2]["content"] == "5"


def test_a_streamed_chat_has_the_texts_of_all_rounds_and_one_end(
    chat: openai.OpenAI, upstream: UpstreamInThread
) -> None:
    upstream.double.play(streamed_call("web__add", '{"a": 2,', ' "b": 3}'), streamed("Fi", "ve."))

    chunks = list(ask(chat, mcp("web"), stream=True))

    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == "Five."
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["stop"]
    assert not any(choice.delta.tool_calls for choice in choices)
    assert sent(upstream)["messages"][2]["content"] == "5"


@pytest.mark.parametrize("stream", [False, True])
def test_a_function_of_the_client_comes_first(chat: openai.OpenAI, upstream: UpstreamInThread, stream: bool) -> None:
    own: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    if stream:
        parts: list[Any] = [
            {"index": 0, "id": "c0", "function": {"name": "web__add", "arguments": "{}"}},
            {"index": 1, "id": "c1", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}},
        ]
        choices: list[Any] = [{"index": 0, "delta": {"tool_calls": [part]}} for part in parts]
        choices.append({"index": 0, "delta": {}, "finish_reason": "tool_calls"})
        script = streamed()
        script.pieces = [b"data: " + json.dumps({"choices": [one]}).encode() + b"\n\n" for one in choices]
        script.pieces.append(b"data: [DONE]\n\n")
        upstream.double.play(script)
        seen = [choice for chunk in ask(chat, own, mcp("web"), stream=True) for choice in chunk.choices]
        wanted = [call for choice in seen for call in choice.delta.tool_calls or ()]
        finish = seen[-1].finish_reason
    else:
        upstream.double.play(calls(("web__add", {}), ("weather", {"city": "Bern"})))
        choice = ask(chat, own, mcp("web")).choices[0]
        wanted, finish = choice.message.tool_calls, choice.finish_reason
    assert [(call.id, call.function.name, call.function.arguments) for call in wanted] == [
        ("c1", "weather", '{"city": "Bern"}')
    ]
    assert finish == "tool_calls"
    assert len(upstream.double.received) == 1


@pytest.mark.parametrize("model", MODELS)
def test_a_chat_in_front_of_either_backend_is_stopped_at_the_limits(
    chat: openai.OpenAI, upstream: UpstreamInThread, model: str
) -> None:
    upstream.double.play(of_model(model, web__add=ADD))

    answer = ask(chat, mcp("web"), model=model)

    assert (answer.choices[0].message.tool_calls, answer.choices[0].finish_reason) == (None, "stop")
    assert len(upstream.double.received) == 3
    choice = sent(upstream)["tool_choice"]
    assert choice in ("none", {"type": "none"})
    assert answer.usage.completion_tokens == 15


@pytest.mark.parametrize(
    ("key", "tool", "more", "status", "param"),
    [
        ("alice-key", mcp("down"), {}, 424, "tools[0]"),
        ("alice-key", mcp("careful"), {}, 400, "tools[0].server_label"),
        ("alice-key", {"type": "mcp", "server_label": "web"}, {}, 400, "tools[0].require_approval"),
        ("alice-key", mcp("web", authorization="x"), {}, 400, "tools[0].authorization"),
        ("alice-key", mcp("web"), {"n": 2}, 400, "n"),
    ],
)
def test_a_chat_that_cannot_be_answered_is_refused(
    gateway: GatewayProcess, upstream: UpstreamInThread, key: str, tool: Any, more: Any, status: int, param: str
) -> None:
    upstream.double.play(said("never"))
    with (
        openai.OpenAI(base_url=gateway.url + "/v1", api_key=key, max_retries=0) as client,
        pytest.raises(openai.APIStatusError) as refused,
    ):
        ask(client, tool, **more)
    assert (refused.value.status_code, refused.value.param) == (status, param)
    assert not upstream.double.received


def test_an_unknown_server_beside_a_known_one_is_refused(chat: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="not registered"):
        ask(chat, mcp("web"), mcp("other"))


def test_a_request_that_names_no_server_gets_no_tools(chat: openai.OpenAI, upstream: UpstreamInThread) -> None:
    upstream.double.play(said("Five."))
    chat.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "2 + 3?"}])
    assert "tools" not in sent(upstream)


# /v1/messages


@pytest.mark.parametrize("model", MODELS)
def test_a_message_shows_the_call_and_its_result(
    claude: anthropic.Anthropic, upstream: UpstreamInThread, model: str
) -> None:
    upstream.double.play(of_model(model, web__add=ADD), of_model(model, "Five."))

    answer = message(claude, model)

    call, result, text = answer.content
    assert (call.type, call.name, call.server_name, call.input) == ("mcp_tool_use", "add", "web", ADD)
    assert (result.type, result.tool_use_id, result.is_error) == ("mcp_tool_result", call.id, False)
    assert result.content[0].text == "5"
    assert (text.text, answer.stop_reason) == ("Five.", "end_turn")
    assert "mcp_servers" not in sent(upstream)


def test_a_streamed_message_has_whole_blocks_in_order(claude: anthropic.Anthropic, upstream: UpstreamInThread) -> None:
    upstream.double.play(
        streamed_message({"type": "text", "text": "Let me see."}, use("web__add", **ADD)),
        streamed_message({"type": "text", "text": "Five."}),
    )

    with claude.beta.messages.stream(
        model="claude",
        max_tokens=99,
        messages=[{"role": "user", "content": "2 + 3?"}],
        mcp_servers=SERVERS,
        betas=["mcp-client-2025-11-20"],
    ) as stream:
        kinds = [event.type for event in stream if event.type in ("message_start", "message_delta", "message_stop")]
        final: Any = stream.get_final_message()

    assert kinds == ["message_start", "message_delta", "message_stop"]
    assert [block.type for block in final.content] == ["text", "mcp_tool_use", "mcp_tool_result", "text"]
    assert (final.content[1].input, final.content[2].content[0].text) == (ADD, "5")
    assert (final.stop_reason, final.usage.output_tokens, final.usage.input_tokens) == ("end_turn", 10, 20)
    assistant, user = sent(upstream)["messages"][1:]
    assert [block["type"] for block in assistant["content"]] == ["text", "tool_use"]
    assert (assistant["content"][1]["input"], user["content"][0]["content"][0]["text"]) == (ADD, "5")


@pytest.mark.parametrize("model", MODELS)
def test_a_message_with_calls_can_be_continued(
    claude: anthropic.Anthropic, upstream: UpstreamInThread, model: str
) -> None:
    upstream.double.play(of_model(model, web__add=ADD), of_model(model, "Five."), of_model(model, "Yes."))
    first = message(claude, model)
    turns = [
        {"role": "user", "content": "2 + 3?"},
        {"role": "assistant", "content": [block.to_dict() for block in first.content]},
        {"role": "user", "content": "Sure?"},
    ]
    assert message(claude, model, messages=turns).content[0].text == "Yes."
    roles = [turn["role"] for turn in sent(upstream)["messages"]]
    result = "user" if model == "claude" else "tool"
    assert roles == ["user", "assistant", result, "assistant", "user"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_of_the_client_comes_first_here_too(
    claude: anthropic.Anthropic, upstream: UpstreamInThread, stream: bool
) -> None:
    both = [use("web__add", **ADD), use("weather", city="Bern")]
    upstream.double.play(
        streamed_message(*both) if stream else of_model("claude", web__add=ADD, weather={"city": "Bern"})
    )
    given: Any = {
        "model": "claude",
        "max_tokens": 99,
        "messages": [{"role": "user", "content": "Go"}],
        "mcp_servers": SERVERS,
        "tools": [{"name": "weather", "input_schema": {"type": "object"}}],
        "betas": ["mcp-client-2025-11-20"],
    }
    if stream:
        with claude.beta.messages.stream(**given) as events:
            answer: Any = events.get_final_message()
    else:
        answer = claude.beta.messages.create(**given)
    [call] = answer.content
    assert (call.type, call.name, call.input, answer.stop_reason) == (
        "tool_use",
        "weather",
        {"city": "Bern"},
        "tool_use",
    )
    assert len(upstream.double.received) == 1


@pytest.mark.parametrize(
    ("server", "tools", "offered"),
    [
        ({"tool_configuration": {"allowed_tools": ["add"]}}, None, {"web__add"}),
        ({"tool_configuration": {"enabled": False}}, None, set()),
        ({}, {"default_config": {"enabled": False}, "configs": {"add": {"enabled": True}}}, {"web__add"}),
        ({}, {"configs": {"slow": {"enabled": False}, "die": {"enabled": False}}}, {"web__add", "web__fail"}),
    ],
)
def test_a_request_chooses_the_tools(
    claude: anthropic.Anthropic, upstream: UpstreamInThread, server: Any, tools: Any, offered: set[str]
) -> None:
    upstream.double.play(of_model("claude", "Hi."))
    toolset = [{"type": "mcp_toolset", "mcp_server_name": "web", **tools}] if tools is not None else []
    more: Any = {"tools": toolset} if toolset else {}
    message(claude, "claude", mcp_servers=[{**SERVERS[0], **server}], **more)
    names = {tool["name"] for tool in sent(upstream).get("tools", [])}
    assert names >= offered
    assert not names & {"web__slow", "web__die"}
    assert offered or not names


@pytest.mark.parametrize(
    ("key", "server", "status", "said_about"),
    [
        ("bobby-key", {"name": "hers"}, 400, "mcp_servers[1].name"),
        ("alice-key", {"name": "x", "url": "https://169.254.169.254/"}, 400, "not registered"),
        ("alice-key", {"name": "careful"}, 400, "/v1/responses"),
        ("alice-key", {"name": "down"}, 424, "cannot be listed"),
        ("alice-key", {"name": "web"}, 400, "same name"),
        ("alice-key", {"name": "hers", "authorization_token": "x"}, 400, "mcp_servers[1].authorization_token"),
    ],
)
def test_a_message_that_cannot_be_answered_is_refused(
    gateway: GatewayProcess, upstream: UpstreamInThread, key: str, server: Any, status: int, said_about: str
) -> None:
    upstream.double.play(said("never"))
    servers = [*SERVERS, {"type": "url", "url": "", **server}]
    with (
        anthropic.Anthropic(base_url=gateway.url, api_key=key, max_retries=0) as client,
        pytest.raises(anthropic.APIStatusError) as refused,
    ):
        message(client, "gpt-4o", mcp_servers=servers)
    assert refused.value.status_code == status
    text = refused.value.response.text
    assert said_about in text or (status == 400 and "not registered" in text)
    assert json.loads(text)["type"] == "error"
    assert not upstream.double.received


def test_servers_of_anthropic_itself_pass_unchanged(claude: anthropic.Anthropic, upstream: UpstreamInThread) -> None:
    upstream.double.play(of_model("claude", "Hi."))
    servers = [{"type": "url", "url": "https://mcp.example.com/", "name": "theirs", "authorization_token": "t"}]
    message(claude, "claude", mcp_servers=servers)
    assert sent(upstream)["mcp_servers"] == servers
