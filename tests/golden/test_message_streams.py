"""Streams of Anthropic's API, and their translations to and from chat.

They say the same wherever they are cut. A stream that breaks off anywhere ends in one error event, without its end
mark.
"""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from pydantic import TypeAdapter

from gateway.ask import Endpoint
from gateway.backends.connection_pool import UpstreamAnswer
from gateway.backends.http1 import Broken
from gateway.backends.judged import JudgedStream
from gateway.backends.translated import StreamTranslator, TranslatedStream
from gateway.errors import RequestError, StreamFailed
from gateway.wire.chat.answer import read_answer
from gateway.wire.chat.chunks import CompletionHead
from gateway.wire.error_forms import last_event
from gateway.wire.messages.answer import MessageHead, MessageTranslator
from gateway.wire.messages.as_completion import CompletionTranslator
from gateway.wire.messages.losses import Losses
from gateway.wire.sse import data_in
from tests.doubles.pieces import PieceAnswer, cut_everywhere, whole_events
from tests.golden.test_streams import CALLS, REASONING, STREAMS, TEXTS, failure

MESSAGE = (Path(__file__).parent / "streams" / "messages" / "thinking-text-and-calls.sse").read_bytes()
CHAT = STREAMS["calls-interleaved"]
EVENT: TypeAdapter[RawMessageStreamEvent] = TypeAdapter(RawMessageStreamEvent)
each_stream = pytest.mark.parametrize("name", STREAMS)


def to_message() -> MessageTranslator:
    return MessageTranslator(MessageHead("msg_1", "m", shows_thinking=True))


def to_completion() -> CompletionTranslator:
    return CompletionTranslator(CompletionHead("chatcmpl-1", "m", 7, wants_usage=True), Losses())


def translated(translator: StreamTranslator, pieces: list[bytes]) -> bytes:
    return b"".join([*map(translator.feed, pieces), translator.end()])


def accumulated(stream: bytes) -> Any:
    """The message that the official client makes of a stream."""
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for data in data_in(stream):
        if b'"ping"' not in data:
            event = EVENT.validate_json(data)
            snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)
    return snapshot


async def sent(
    pieces: list[bytes], endpoint: Endpoint, to: Callable[[], StreamTranslator] | None, *, broken: bool = False
) -> bytes:
    """What a client gets of an upstream's stream: its status as a text if the stream fails before it begins."""

    async def waits() -> None: ...

    answer = cast(UpstreamAnswer, PieceAnswer(pieces, error=Broken() if broken else None))
    stream = JudgedStream(b"", answer, endpoint, failure, marked=True)
    try:
        await stream.begin(waits, 5)
    except RequestError as error:
        return b"status %d" % error.status
    client = endpoint if to is None else Endpoint.CHAT if endpoint is Endpoint.MESSAGES else Endpoint.MESSAGES
    outgoing: AsyncIterator[bytes] = TranslatedStream(stream, to(), []) if to else stream
    came = []
    try:
        async for piece in outgoing:
            came.append(piece)  # noqa: PERF401  # those ahead of an error count, too
    except StreamFailed:
        pass
    except RequestError as error:
        came.append(last_event(error, client, "fw-1", came[-1] if came else b""))
    return b"".join(came)


@each_stream
def test_a_foreign_chat_stream_is_the_same_message_to_the_official_client(name: str) -> None:
    message = accumulated(translated(to_message(), [STREAMS[name]]))
    texts = {kind: [getattr(b, kind) for b in message.content if b.type == kind] for kind in ("text", "thinking")}
    calls = [(block.name, block.input) for block in message.content if block.type == "tool_use"]

    assert "".join(texts["text"]) == TEXTS.get(name, "Hi")
    assert "".join(texts["thinking"]) == REASONING.get(name, "")
    assert calls == CALLS.get(name, [])
    assert message.stop_reason == ("tool_use" if calls else "end_turn")


@each_stream
def test_a_chat_stream_that_is_cut_is_translated_alike(name: str) -> None:
    whole = translated(to_message(), [STREAMS[name]])

    for pieces in list(cut_everywhere(STREAMS[name]))[::7]:
        assert translated(to_message(), whole_events(*pieces)) == whole


async def test_a_message_stream_that_is_cut_at_any_byte_arrives_and_is_translated_alike() -> None:
    whole = await sent([MESSAGE], Endpoint.MESSAGES, to_completion)
    assert whole.endswith(b"data: [DONE]\n\n")

    for pieces in cut_everywhere(MESSAGE):
        assert await sent(list(pieces), Endpoint.MESSAGES, None) == MESSAGE
        assert await sent(list(pieces), Endpoint.MESSAGES, to_completion) == whole


async def test_a_message_stream_that_breaks_off_at_any_byte_ends_in_one_error() -> None:
    end = MESSAGE.index(b"event: message_stop")
    for size in range(1, end):
        native = await sent([MESSAGE[:size]], Endpoint.MESSAGES, None, broken=True)
        chat = await sent([MESSAGE[:size]], Endpoint.MESSAGES, to_completion, broken=True)
        if native.startswith(b"status"):
            assert native == chat == b"status 502"
            continue
        assert native.count(b"event: error\n") == 1 and b"message_stop" not in native
        assert chat.count(b'"error":') == 1 and b"[DONE]" not in chat


async def test_a_chat_stream_that_breaks_off_at_any_byte_ends_its_message_in_one_error() -> None:
    for size in range(1, CHAT.index(b"data: [DONE]")):
        told = await sent([CHAT[:size]], Endpoint.CHAT, to_message, broken=True)
        assert told == b"status 502" or (told.count(b"event: error\n") == 1 and b"message_stop" not in told)


def test_a_message_stream_is_the_same_completion() -> None:
    stream = translated(to_completion(), [MESSAGE])
    message, completion = accumulated(MESSAGE), read_answer(stream, "text/event-stream")
    deltas = [json.loads(data)["choices"] for data in data_in(stream) if data.startswith(b"{")]
    parts = [choices[0]["delta"] for choices in deltas if choices]
    arguments: dict[int, str] = {}
    for call in [call for part in parts for call in part.get("tool_calls", [])]:
        arguments[call["index"]] = arguments.get(call["index"], "") + call["function"]["arguments"]

    thought, text, *calls = message.content
    assert completion.text == text.text == "Two calls."
    assert completion.finish == "tool_calls"
    assert (completion.prompt_tokens, completion.completion_tokens, completion.cached_tokens) == (30, 41, 20)
    assert "".join(part.get("reasoning_content", "") for part in parts) == thought.thinking == "Let me see."
    assert [block for part in parts for block in part.get("thinking_blocks", [])] == [thought.to_dict()]
    assert [json.loads(arguments[place]) for place in sorted(arguments)] == [call.input for call in calls]
    assert read_answer(MESSAGE, "text/event-stream") == completion


def test_a_message_delta_without_a_stop_reason_does_not_end_the_choice() -> None:
    delta = b'{"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":1}}'
    early = b"event: message_delta\ndata: " + delta + b"\n\n"
    at = MESSAGE.index(b"event: content_block_start")

    sent = data_in(to_completion().feed(MESSAGE[:at] + early + MESSAGE[at:]))

    choices = [choice for data in sent if data != b"[DONE]" for choice in json.loads(data)["choices"]]
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["tool_calls"]
    assert choices[-1]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("data", [b"boom", b'"error"', b'{"detail": "boom"}'])
async def test_an_error_event_of_any_form_reaches_the_client_of_a_translation(data: bytes) -> None:
    fault = b"event: error\ndata: " + data + b"\n\n"
    begun = MESSAGE[: MESSAGE.index(b"event: content_block_stop")]
    words = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'

    message = await sent([words, fault], Endpoint.CHAT, to_message)
    chat = await sent([begun, fault], Endpoint.MESSAGES, to_completion)

    assert message.count(b"event: error\n") == 1 and b"message_stop" not in message
    assert chat.count(b'"error":') == 1 and b"[DONE]" not in chat


def test_a_call_without_arguments_has_an_empty_object_as_its_arguments() -> None:
    block = b'{"type":"tool_use","id":"t1","name":"now","input":{}}'
    events = [
        b'{"type":"message_start","message":{"usage":{}}}',
        b'{"type":"content_block_start","index":0,"content_block":' + block + b"}",
        b'{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":""}}',
        b'{"type":"content_block_stop","index":0}',
        b'{"type":"message_delta","delta":{"stop_reason":"tool_use"}}',
        b'{"type":"message_stop"}',
    ]
    told = translated(to_completion(), [b"".join(b"data: " + event + b"\n\n" for event in events)])

    assert told.count(b'"arguments":"{}"') == 1
