"""Backends that speak only chat, asked for responses."""

import json
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from gateway.ask import Endpoint, Mode, Turn
from gateway.backends.remote import KIND
from gateway.backends.remote_settings import RemoteSettings, speakers
from gateway.backends.responses import ResponsesOverChat
from gateway.errors import BackendFailed, BadRequest, RequestError
from gateway.exchange import Exchange, Sampling
from gateway.ports import Backend, Headers, ModelCard, Reply
from gateway.wire.chat import encode
from tests.doubles.asking import asked, body

CHAT = b'{"choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}]}'
PIECES = [b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n', b'data: {"choices":[{"delta":{},"finish_']
HEADERS: Headers = ((b"content-type", b"application/json"), (b"x-request-id", b"r1"))


class Chatting:
    """A backend that keeps what it was asked and answers as told."""

    name = "up"

    def __init__(self, reply: Reply, *endpoints: Endpoint) -> None:
        self.reply = reply
        self.asked: list[tuple[Exchange, str, Headers]] = []
        self._cards = [ModelCard("small", endpoints or (Endpoint.CHAT,))]

    def models(self) -> list[ModelCard]:
        return self._cards

    async def send(self, exchange: Exchange, model: str, headers: Headers) -> Reply:
        self.asked.append((exchange, model, headers))
        return self.reply


class Breaking:
    """A stream that breaks after some pieces."""

    def __init__(self, pieces: list[bytes], error: RequestError | None) -> None:
        self._pieces = list(pieces)
        self._error = error
        self.closed = False

    def __aiter__(self) -> "Breaking":
        return self

    async def __anext__(self) -> bytes:
        if self._pieces:
            return self._pieces.pop(0)
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed = True


def responding(backend: Chatting) -> ResponsesOverChat:
    return ResponsesOverChat(cast(Backend, backend))


async def collected(pieces: AsyncIterator[bytes]) -> tuple[bytes, RequestError | None]:
    got = b""
    try:
        async for piece in pieces:
            got += piece
    except RequestError as error:
        return got, error
    return got, None


async def test_a_chat_backend_is_asked_for_a_chat_and_answers_a_response() -> None:
    backend = Chatting(Reply(200, HEADERS, CHAT, backend="up", model="small"))
    exchange = asked(Endpoint.RESPONSES, input="Hello", max_output_tokens=9)

    reply = await responding(backend).send(exchange, "small", ((b"accept-encoding", b"gzip"), (b"traceparent", b"t")))

    sent, model, headers = backend.asked[0]
    assert (sent.ask.endpoint, model, headers) == (Endpoint.CHAT, "small", ((b"traceparent", b"t"),))
    assert json.loads(encode.body(sent, model, room_field="max_completion_tokens")) == {
        "model": "small",
        "messages": [{"role": "user", "content": "Hello"}],
        "max_completion_tokens": 9,
    }
    assert json.loads(await body(reply))["output"][0]["content"][0]["text"] == "Hi"
    assert (reply.headers, reply.backend) == (((b"content-type", b"application/json"), (b"x-request-id", b"r1")), "up")


async def test_what_the_stages_changed_and_a_templates_wishes_arrive() -> None:
    backend = Chatting(Reply(200, HEADERS, CHAT))
    exchange = asked(Endpoint.RESPONSES, input="Hello", temperature=1)
    changed = Exchange(
        "x",
        exchange.ask,
        mode=Mode.ON,
        turns=(Turn("system", "S"), *exchange.ask.turns),
        sampling=Sampling(max_tokens=20, temperature=0.0, stop=("\n",)),
    )

    await responding(backend).send(changed, "small", ())

    assert json.loads(encode.body(backend.asked[0][0], "small")) == {
        "model": "small",
        "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Hello"}],
        "temperature": 1,
        "max_tokens": 20,
        "stop": ["\n"],
    }


async def test_a_backend_that_speaks_responses_gets_the_request_as_it_is() -> None:
    backend = Chatting(Reply(200, HEADERS, b"{}"), Endpoint.CHAT, Endpoint.RESPONSES)
    exchange = asked(Endpoint.RESPONSES, input="Hello", previous_response_id="resp_1")

    reply = await responding(backend).send(exchange, "small", ((b"accept-encoding", b"gzip"),))

    assert reply is backend.reply
    assert backend.asked == [(exchange, "small", ((b"accept-encoding", b"gzip"),))]


async def test_what_cannot_be_translated_is_never_sent() -> None:
    backend = Chatting(Reply(200, HEADERS, CHAT))

    with pytest.raises(BadRequest, match="previous_response_id"):
        await responding(backend).send(asked(Endpoint.RESPONSES, input="a", previous_response_id="resp_1"), "small", ())
    assert backend.asked == []


async def test_an_extra_that_chat_does_not_have_is_left_out_with_a_note() -> None:
    backend = Chatting(Reply(200, HEADERS, CHAT))
    wanted = ["reasoning.encrypted_content", "message.output_text.logprobs", "something.new"]

    reply = await responding(backend).send(asked(Endpoint.RESPONSES, input="a", include=wanted), "small", ())

    assert reply.status == 200
    assert [(note.stage, note.decision, note.reason) for note in reply.notes] == [
        ("include", "left out", "a chat completion has no reasoning.encrypted_content, something.new")
    ]


async def test_events_that_are_no_json_are_passed_over_and_counted() -> None:
    pieces = [
        b"data: : keepalive\n\n",
        PIECES[0],
        b'data: "x"\n\n',
        b'data: {"choices":[{"finish_reason":"stop"}]}\n\n',
    ]
    backend = Chatting(Reply(200, HEADERS, pieces=Breaking(pieces, None)))
    reply = await responding(backend).send(asked(Endpoint.RESPONSES, input="a", stream=True), "small", ())
    assert reply.pieces is not None

    got, raised = await collected(reply.pieces)

    assert (b"response.completed" in got, raised) == (True, None)
    assert [(note.stage, note.reason) for note in reply.notes] == [("stream", "2 events were not JSON objects")]


async def test_a_refusal_stays_as_it_is() -> None:
    refusal = Reply(429, HEADERS, b'{"error":{"message":"slow down"}}')

    assert await responding(Chatting(refusal)).send(asked(Endpoint.RESPONSES, input="a"), "small", ()) is refusal


@pytest.mark.parametrize("error", [BackendFailed("it broke off", code="stream_cut"), None])
async def test_a_stream_that_breaks_says_so_and_raises(error: RequestError | None) -> None:
    source = Breaking(PIECES, error)
    backend = Chatting(Reply(200, HEADERS, pieces=source, backend="up"))
    reply = await responding(backend).send(asked(Endpoint.RESPONSES, input="a", stream=True), "small", ())
    assert reply.pieces is not None

    got, raised = await collected(reply.pieces)
    await reply.aclose()

    assert b"event: response.failed" in got
    assert b"response.completed" not in got
    assert raised is not None
    assert raised.code == "stream_cut"
    assert source.closed
    assert reply.headers[0] == (b"content-type", b"text/event-stream; charset=utf-8")


async def test_a_stream_that_breaks_after_its_end_mark_is_whole() -> None:
    end = [PIECES[0], b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n']
    backend = Chatting(Reply(200, HEADERS, pieces=Breaking(end, BackendFailed("late"))))
    reply = await responding(backend).send(asked(Endpoint.RESPONSES, input="a", stream=True), "small", ())
    assert reply.pieces is not None

    got, raised = await collected(reply.pieces)

    assert got.count(b"event: response.completed") == 1
    assert raised is None


@pytest.mark.parametrize(
    ("base_url", "models", "named", "speaking"),
    [
        ("https://api.openai.com/v1", ("gpt-*", "o5"), None, ("gpt-*", "o5")),
        ("http://127.0.0.1:8000/v1", ("*",), None, ()),
        ("http://127.0.0.1:8000/v1", ("*",), ("gpt-*",), ("gpt-*",)),
        ("http://127.0.0.1:8000/v1", ("a", "b"), ("*",), ("a", "b")),
        ("https://api.openai.com/v1", ("*",), (), ()),
    ],
)
def test_which_models_speak_responses_is_configured(
    base_url: str, models: tuple[str, ...], named: tuple[str, ...] | None, speaking: tuple[str, ...]
) -> None:
    assert speakers(RemoteSettings(base_url, models, responses=named)) == speaking


def test_a_speaker_that_is_not_among_the_models_is_a_mistake(tmp_path: Any) -> None:
    problems = list(KIND.check(RemoteSettings("http://a/v1", ("small",), responses=("large",)), tmp_path))

    assert [str(problem).split(":")[0] for problem in problems] == ["responses"]
