"""Streams as foreign backends write them: each says the same wherever it is cut, and whatever is added to it."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from gateway.ask import Ask, ClientKey, Endpoint
from gateway.backends.connection_pool import UpstreamAnswer
from gateway.backends.http1 import Broken
from gateway.backends.judged import JudgedStream
from gateway.errors import BackendFailed, RequestError
from gateway.exchange import Chunk, Exchange
from gateway.ports import Reply
from gateway.server.additions import StreamAdditions
from gateway.wire.chat.answer import read_answer
from gateway.wire.responses import request as responses
from gateway.wire.responses.answer import Translator, head_of
from tests.doubles.chat_stream import events
from tests.doubles.pieces import PieceAnswer, cut_everywhere, whole_events

HERE = Path(__file__).parent
STREAMS = {file.stem: file.read_bytes() for file in sorted((HERE / "streams").glob("*.sse"))}
ONE_CALL = [("read", {"p": 1})]
TWO_CALLS = {
    "calls-all-with-index-0": [*ONE_CALL, ("write", {"p": 2})],
    "calls-without-an-index": [*ONE_CALL, ("read", {"p": 2})],
    "calls-without-id-and-index": [*ONE_CALL, ("read", {"p": 2})],
    "calls-interleaved": [*ONE_CALL, ("write", {"p": 2})],
}
CALLS: dict[str, list[tuple[str, dict[str, int]]]] = {
    **TWO_CALLS,
    "arguments-as-an-object": ONE_CALL,
    "call-id-as-a-number": [("read", {})],
    "call-index-as-a-text": [("read", {})],
    "call-with-a-new-id-each-time": ONE_CALL,
    "legacy-function-call": ONE_CALL,
}
TEXTS = {
    **dict.fromkeys(CALLS, ""),
    "content-as-parts": "Four.",
    "end-mark-quoted-in-the-text": "An SSE stream ends with data: [DONE] and [1] says so.",
    **dict.fromkeys(
        [
            "windows-line-ends",
            "old-mac-line-ends",
            "byte-order-mark",
            "comments-and-names",
            "data-of-several-lines",
            "end-mark-without-a-blank",
            "end-mark-at-the-very-end",
        ],
        "Gr\u00fc\u00df dich",
    ),
}
REASONING = {"content-as-parts": "Two and two.", "reasoning-as-an-object": "Hm"}
USAGE = {"choices-null-beside-usage": (3, 2), "usage-with-a-null": (-1, 2)}
each_stream = pytest.mark.parametrize("name", STREAMS)


def scripted() -> dict[str, bytes]:
    """Every stream of chat that a case in cases/ has an upstream send."""
    found = {}
    for file in sorted((HERE / "cases").glob("*.yaml")):
        if file.stem.startswith("gemini-"):
            continue  # these streams are translated before they are judged
        for script in yaml.safe_load(file.read_text("utf-8")).get("upstream", []):
            pieces = script.get("pieces", [])
            if all(isinstance(piece, str) for piece in pieces) and "".join(pieces).startswith("data: {"):
                found[file.stem] = "".join(pieces).encode()
    return {**found, **STREAMS}


def failure(error: Exception, what: str, code: str | None = None) -> RequestError:
    return BackendFailed(f"The backend {what}.", code=code)


async def judged(pieces: list[bytes], error: Exception | None = None) -> tuple[list[bytes], str]:
    """The pieces that come out of an upstream's stream, and the error at its end."""

    async def waits() -> None: ...

    answer = cast(UpstreamAnswer, PieceAnswer(pieces, error=error))
    stream = JudgedStream(b"", answer, Endpoint.CHAT, failure, marked=True)
    came = []
    try:
        await stream.begin(waits, 5)
        async for piece in stream:
            came.append(piece)  # noqa: PERF401  # those ahead of an error count, too
    except RequestError as raised:
        return came, raised.message
    return came, ""


def with_additions(pieces: list[bytes]) -> bytes:
    ask = Ask(Endpoint.CHAT, "m", b"{}", stream=True)
    exchange = Exchange("fw-1", ask, ClientKey.ANONYMOUS, chunks=(Chunk("c", "handbook", "leave.md", "15 days"),))
    reply = Reply(200, ())
    sent: list[bytes] = []
    additions = StreamAdditions(exchange, reply, b'{"exchange":"fw-1"}', sent, closing=True)
    for piece in pieces:
        sent.append(additions.add(piece))  # noqa: PERF401  # the additions look at what was sent
    assert [note.stage for note in reply.notes] == ["sources"]
    return b"".join((*sent, additions.end()))


def translated(pieces: list[bytes]) -> list[dict[str, Any]]:
    ask = responses.ask(b'{"model":"m","input":"a"}', {})
    translator = Translator(head_of("fw-1", ask, "m", 7))
    return events(b"".join(map(translator.feed, pieces)) + translator.end())


@pytest.mark.parametrize("stream", scripted().values(), ids=scripted().keys())
async def test_a_stream_cut_at_any_byte_arrives_as_it_was_sent(stream: bytes) -> None:
    whole, error = await judged([stream])

    for pieces in cut_everywhere(stream):
        came, ended = await judged(pieces)
        assert (b"".join(came), ended) == (b"".join(whole), error)


@each_stream
async def test_a_cut_stream_with_sources_gets_the_same_two_additions(name: str) -> None:
    stream = STREAMS[name]
    whole = with_additions([stream])

    assert whole.count(b'"foreword":') == 2
    assert whole.index(b'"foreword":{"sources"') < whole.rindex(b"[DONE]")
    assert read_answer(whole, "text/event-stream") == read_answer(stream, "text/event-stream")
    for pieces in cut_everywhere(stream):
        assert with_additions(whole_events(*pieces)) == whole


@each_stream
def test_a_foreign_stream_says_what_it_says(name: str) -> None:
    stream = STREAMS[name]
    answer = read_answer(stream, "Text/Event-Stream")
    told = translated([stream])
    response = told[-1]["response"]
    output = response["output"]
    found = {kind: [item for item in output if item["type"] == kind] for kind in ("reasoning", "message")}
    calls = [(item["name"], json.loads(item["arguments"])) for item in output if item["type"] == "function_call"]

    assert told[-1]["type"] == "response.completed"
    assert (answer.text, answer.prompt_tokens, answer.completion_tokens) == (
        TEXTS.get(name, "Hi"),
        *USAGE.get(name, (-1, -1)),
    )
    assert "".join(item["content"][0]["text"] for item in found["message"]) == answer.text
    assert "".join(item["content"][0]["text"] for item in found["reasoning"]) == REASONING.get(name, "")
    assert calls == CALLS.get(name, [])
    assert len({item["call_id"] for item in output if item["type"] == "function_call"}) == len(calls)


@each_stream
def test_a_cut_stream_is_translated_alike(name: str) -> None:
    whole = translated([STREAMS[name]])

    for pieces in list(cut_everywhere(STREAMS[name]))[::7]:
        assert translated(whole_events(*pieces)) == whole


async def test_half_an_event_is_left_out_of_a_stream_that_breaks() -> None:
    stream = STREAMS["content-as-parts"]

    came, error = await judged([stream, b'data: {"choi'], Broken())
    assert (b"".join(came), error) == (stream, "")
    stream = STREAMS["choices-null-beside-usage"]
    came, error = await judged([stream[:300]], Broken())
    assert b"".join(came) == stream[: stream.index(b"\n\n") + 2]
    assert error == "The backend broke off in the middle of its stream."
