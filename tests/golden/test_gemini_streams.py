"""Gemini's streams say the same wherever they are cut, break into one error, and survive wrong values."""

import json
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import types

from gateway.wire.chat.chunks import CompletionHead
from gateway.wire.gemini.as_completion import GeminiStream
from gateway.wire.messages.losses import Losses
from tests.conftest import UpstreamInThread
from tests.doubles.pieces import cut_everywhere
from tests.doubles.provider_streams import joined, sent
from tests.doubles.upstream import Script
from tests.golden.test_message_streams import accumulated
from tests.unit.wire.messages.test_mutated import mutated

FOLDER = Path(__file__).parent / "streams" / "gemini"
CALLS = (FOLDER / "thoughts-text-and-calls.sse").read_bytes()
TWO = (FOLDER / "two-candidates.sse").read_bytes()
HEAD = CompletionHead("chatcmpl-fw-1", "gemini-3-pro", 7, wants_usage=True)


def to_completion(losses: Losses) -> GeminiStream:
    return GeminiStream(HEAD, losses)


def test_the_official_client_reads_the_same_from_the_recorded_stream(upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(headers=[("content-type", "text/event-stream")], pieces=[CALLS]))
    address = types.HttpOptions(base_url=f"http://127.0.0.1:{upstream.port}", api_version="v1beta")
    client = genai.Client(api_key="k", http_options=address, vertexai=False)

    answers = list(client.models.generate_content_stream(model="gemini-3-pro", contents="a"))

    line = upstream.double.received[0].line
    parts = [part for answer in answers for part in answer.candidates[0].content.parts]  # type: ignore[index, union-attr]
    usage: Any = answers[-1].usage_metadata
    own = joined(_read(CALLS))
    assert line.split(" ")[1] == "/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse"
    assert "".join(part.text or "" for part in parts if not part.thought) == own["content"] == "Zwei Grüße."
    assert "".join(part.text or "" for part in parts if part.thought) == own["reasoning_content"] == "Let me see."
    calls = [(part.function_call.name, part.function_call.args) for part in parts if part.function_call]
    assert calls == [(call["name"], json.loads(call["arguments"])) for call in own["tool_calls"].values()]
    assert own["tool_calls"][0]["id"] == "fc1__signed__QUJD-_8"
    assert own["tool_calls"][1]["id"] == "call_fw_1_1"
    assert own["finish_reason"] == "tool_calls"
    assert own["usage"]["total_tokens"] == usage.total_token_count
    assert own["usage"]["completion_tokens_details"] == {"reasoning_tokens": usage.thoughts_token_count}
    assert own["usage"]["prompt_tokens_details"]["cached_tokens"] == usage.cached_content_token_count


def _read(stream: bytes) -> bytes:
    translator = to_completion(Losses())
    return translator.feed(stream) + translator.end()


def test_several_candidates_keep_their_places_and_their_ends() -> None:
    stream = _read(TWO)

    one, two = joined(stream), joined(stream, 1)
    assert (one["content"], one["finish_reason"]) == ("One.", "stop")
    assert (two["content"], two["finish_reason"], two["refusal"]) == ("Eins!", "content_filter", "No.")
    assert stream.count(b"[DONE]") == 1


@pytest.mark.parametrize("stream", [CALLS, TWO], ids=["calls", "candidates"])
@pytest.mark.parametrize("messages", [False, True], ids=["chat", "messages"])
async def test_a_stream_that_is_cut_at_any_byte_is_the_same(stream: bytes, messages: bool) -> None:
    whole = await sent(to_completion, [stream], messages=messages)
    assert whole.endswith(b"data: [DONE]\n\n") or b"event: message_stop" in whole

    for pieces in cut_everywhere(stream):
        assert await sent(to_completion, pieces, messages=messages) == whole
    assert await sent(to_completion, [stream[at : at + 1] for at in range(len(stream))], messages=messages) == whole


async def test_a_stream_that_breaks_off_at_any_byte_ends_in_one_error() -> None:
    for size in range(1, len(CALLS)):
        for messages, end in ((False, b"[DONE]"), (True, b"message_stop")):
            told = await sent(to_completion, [CALLS[:size]], broken=True, messages=messages)
            mark = b"event: error\n" if messages else b'"error":'
            assert told == b"status 502" or (told.count(mark) == 1 and end not in told)


async def test_a_stream_that_ends_before_its_finish_reason_is_an_error() -> None:
    told = await sent(to_completion, [CALLS[: CALLS.index(b"STOP")]])

    assert told.count(b'"stream_cut"') == 1 and b"[DONE]" not in told


def test_the_message_of_the_official_client_has_the_thinking_and_the_signed_call() -> None:
    import asyncio

    message = accumulated(asyncio.run(sent(to_completion, [CALLS], messages=True)))

    thinking, text, first, second = message.content
    assert (thinking.thinking, text.text) == ("Let me see.", "Zwei Grüße.")
    assert (first.id, first.input, second.input) == ("fc1__signed__QUJD-_8", {"p": 1, "q": "ü"}, {})
    assert message.stop_reason == "tool_use"
    assert message.usage.cache_read_input_tokens == 20 and message.usage.input_tokens == 10


@pytest.mark.parametrize("stream", [CALLS, TWO], ids=["calls", "candidates"])
def test_a_wrong_value_in_an_event_does_not_break_its_stream(stream: bytes) -> None:
    events = stream.split(b"\r\n\r\n")[:-1]
    for place, event in enumerate(events):
        for wrong in mutated(json.loads(event.removeprefix(b"data: "))):
            changed = [*events[:place], b"data: " + json.dumps(wrong).encode(), *events[place + 1 :], b""]
            _read(b"\r\n\r\n".join(changed))


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (b'{"error":{"code":429,"message":"Slow down.","status":"RESOURCE_EXHAUSTED"}}', b"status 429"),
        (b'{"error":{"code":503,"message":"Overloaded.","status":"UNAVAILABLE"}}', b"status 503"),
        (b'{"error":{"status":"INVALID_ARGUMENT"}}', b"status 400"),
        (b'{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL"}]}', b"status 502"),
    ],
)
async def test_an_error_before_any_content_has_its_status(event: bytes, told: bytes) -> None:
    assert await sent(to_completion, [b"data: " + event + b"\n\n"]) == told


async def test_an_unknown_part_and_an_unknown_finish_reason_are_noted() -> None:
    notes: list[Any] = []
    event = {"candidates": [{"content": {"parts": [{"text": "a"}, {"newThing": {}}]}, "finishReason": "NEW"}]}

    stream = await sent(to_completion, [b"data: " + json.dumps(event).encode() + b"\n\n"], notes=notes)

    assert joined(stream)["finish_reason"] == "stop"
    assert notes[0].data == {"left_out": ["a part 'newThing'", "the finish reason 'NEW'"]}
