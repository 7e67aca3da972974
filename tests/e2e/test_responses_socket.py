"""`/v1/responses` over a WebSocket, by the official client, in front of a scripted backend that speaks chat."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.conftest import UpstreamInThread
from tests.doubles.chat_stream import chunk
from tests.doubles.process import GatewayProcess, running
from tests.doubles.upstream import Script

CONFIG = """
[data]
folder = "data"
[records]
drain_s = 0.1
[prompt]
mode = "off"
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
models = ["m"]
[keys.mine]
secret = "sk-mine-123"
[keys.few]
secret = "sk-few-123"
models = ["other"]
"""
TURN = {"type": "response.create", "model": "m", "store": False}


@pytest.fixture(scope="module")
def gateway(upstream: UpstreamInThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with running(tmp_path_factory.mktemp("socket"), CONFIG.format(port=upstream.port)) as process:
        yield process


@pytest.fixture
def socket(gateway: GatewayProcess) -> Iterator[ClientConnection]:
    headers = {"authorization": "Bearer sk-mine-123"}
    url = f"ws://127.0.0.1:{gateway.port}/v1/responses"
    with connect(url, additional_headers=headers, proxy=None) as client:
        yield client


def said(text: str, **more: Any) -> Script:
    pieces = [chunk(role="assistant", content=text), chunk("stop"), b"data: [DONE]\n\n"]
    return Script(headers=[("content-type", "text/event-stream")], framing="chunked", **{"pieces": pieces, **more})


def play(upstream: UpstreamInThread, *texts: str) -> None:
    upstream.double.play(*[said(text) for text in texts])


def answer(client: ClientConnection, **fields: Any) -> list[Any]:
    """Send a request, and return the events up to its end."""
    client.send(json.dumps(TURN | fields))
    return until_end(client)


def until_end(client: ClientConnection) -> list[Any]:
    events = [json.loads(client.recv(timeout=10))]
    while events[-1]["type"] not in ("response.completed", "error"):
        events.append(json.loads(client.recv(timeout=10)))
    return events


def messages(upstream: UpstreamInThread, request: int = -1) -> list[tuple[str, str]]:
    """The messages that the backend got."""
    body = json.loads(upstream.double.received[request].body)
    return [(message["role"], message["content"]) for message in body["messages"]]


@pytest.mark.filterwarnings("ignore:connect.. must be used")  # by the official client
def test_the_official_client_gets_the_events_of_a_response(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    play(upstream, "Hello there")
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="sk-mine-123")
    with client, client.responses.connect() as connection:
        connection.response.create(model="m", input="Hi", store=False)
        text = ""
        for event in connection:
            if event.type == "response.output_text.delta":
                text += event.delta
            if event.type == "response.completed":
                assert event.response.output_text == "Hello there"
                break
    assert text == "Hello there"


def test_a_response_that_is_not_stored_is_continued(socket: ClientConnection, upstream: UpstreamInThread) -> None:
    play(upstream, "Paris", "Two million", "Seine")
    first = answer(socket, input="The capital of France?")[-1]["response"]["id"]
    second = answer(socket, input="How many live there?", previous_response_id=first)[-1]["response"]["id"]
    answer(socket, input=[{"role": "user", "content": "Its river?"}], previous_response_id=second)
    assert messages(upstream) == [
        ("user", "The capital of France?"),
        ("assistant", "Paris"),
        ("user", "How many live there?"),
        ("assistant", "Two million"),
        ("user", "Its river?"),
    ]


def test_a_request_that_only_prepares_calls_no_model(socket: ClientConnection, upstream: UpstreamInThread) -> None:
    play(upstream, "Yes")
    prepared = answer(socket, input="Know this: it rains.", generate=False)
    assert [event["type"] for event in prepared] == ["response.created", "response.completed"]
    assert upstream.double.received == []
    answer(socket, input="Does it rain?", previous_response_id=prepared[-1]["response"]["id"])
    assert messages(upstream) == [("user", "Know this: it rains."), ("user", "Does it rain?")]


def test_streams_are_told_apart(socket: ClientConnection, upstream: UpstreamInThread) -> None:
    play(upstream, *["yes"] * 6)
    for number in range(6):
        socket.send(json.dumps(TURN | {"input": f"q{number}", "stream_id": f"s{number % 2}"}))
    ended: dict[str, list[Any]] = {"s0": [], "s1": []}
    order: dict[str, list[str]] = {"s0": [], "s1": []}
    while sum(map(len, ended.values())) < 6:
        event = json.loads(socket.recv(timeout=10))
        order[event["stream_id"]].append(event["type"])
        if event["type"] == "response.completed":
            ended[event["stream_id"]].append(event["response"])
    for kinds in order.values():
        starts = [number for number, kind in enumerate(kinds) if kind == "response.created"]
        ends = [number for number, kind in enumerate(kinds) if kind == "response.completed"]
        assert all(start > end for start, end in zip(starts[1:], ends, strict=False)), "one at a time in a stream"


@pytest.mark.parametrize(
    ("message", "status", "code"),
    [
        ("{", 400, "invalid_json"),
        ("[]", 400, "invalid_json"),
        (b"\xff", 400, "invalid_json"),
        ('{"type": "response.steer"}', 400, "invalid_value"),
        ("{}", 400, "invalid_value"),
        (json.dumps({"type": "response.create", "model": "nobody", "input": "x"}), 404, "model_not_found"),
        (json.dumps({"type": "response.create", "model": "m", "input": 5}), 400, "invalid_value"),
        (json.dumps(TURN | {"input": "x", "previous_response_id": "resp_fw_unknown"}), 400, None),
        (json.dumps(TURN | {"input": "x", "tools": [{"type": "web_search"}]}), 400, None),
    ],
)
def test_an_error_is_an_event_and_the_connection_goes_on(
    socket: ClientConnection, upstream: UpstreamInThread, message: str | bytes, status: int, code: str | None
) -> None:
    play(upstream, "still here")
    socket.send(message)
    [error] = until_end(socket)
    assert (error["type"], error["status"]) == ("error", status)
    assert code is None or error["error"]["code"] == code
    assert answer(socket, input="Hi")[-1]["type"] == "response.completed"


def test_a_key_keeps_its_limits(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    headers = {"authorization": "Bearer sk-few-123"}
    with connect(f"ws://127.0.0.1:{gateway.port}/v1/responses", additional_headers=headers, proxy=None) as client:
        [error] = answer(client, input="Hi")
    assert (error["status"], error["error"]["code"]) == (403, "model_not_allowed")


def test_a_client_that_leaves_ends_the_backends_stream(gateway: GatewayProcess, upstream: UpstreamInThread) -> None:
    upstream.double.play(said("", pieces=[chunk(role="assistant", content="Never")], end="stall"))
    headers = {"authorization": "Bearer sk-mine-123"}
    with connect(f"ws://127.0.0.1:{gateway.port}/v1/responses", additional_headers=headers, proxy=None) as client:
        client.send(json.dumps(TURN | {"input": "Hi"}))
        while json.loads(client.recv(timeout=10))["type"] != "response.output_text.delta":
            pass
    assert upstream.left()
