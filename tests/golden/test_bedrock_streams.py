"""Bedrock's streams say the same wherever they are cut, break into one error, and survive wrong bytes and values."""

import json
from typing import Any

import boto3
import pytest
from botocore.config import Config

from gateway.backends.providers.event_stream import decoder
from gateway.wire.chat.chunks import CompletionHead
from gateway.wire.converse.as_completion import ConverseStream
from gateway.wire.messages.losses import Losses
from tests.conftest import UpstreamInThread
from tests.doubles.aws import STREAM_HEADERS, frame, is_signed, stream
from tests.doubles.pieces import cut_everywhere
from tests.doubles.provider_streams import joined, sent
from tests.doubles.upstream import Script
from tests.golden.test_message_streams import accumulated, to_message, translated
from tests.unit.wire.messages.test_mutated import mutated

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
EVENTS: list[tuple[str, Any]] = [
    ("messageStart", {"role": "assistant"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "Let me "}}}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "see."}}}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "c2ln"}}}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "Zwei "}}),
    ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "Grüße."}}),
    ("contentBlockStop", {"contentBlockIndex": 1}),
    ("contentBlockStart", {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "tooluse_1", "name": "read"}}}),
    ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": '{"p":'}}}),
    ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": "1}"}}}),
    ("contentBlockStop", {"contentBlockIndex": 2}),
    ("contentBlockStart", {"contentBlockIndex": 3, "start": {"toolUse": {"toolUseId": "tooluse_2", "name": "write"}}}),
    ("contentBlockDelta", {"contentBlockIndex": 3, "delta": {"toolUse": {"input": "{}"}}}),
    ("contentBlockStop", {"contentBlockIndex": 3}),
    ("messageStop", {"stopReason": "tool_use"}),
    (
        "metadata",
        {
            "usage": {
                "inputTokens": 7,
                "outputTokens": 41,
                "totalTokens": 71,
                "cacheReadInputTokens": 20,
                "cacheWriteInputTokens": 3,
            },
            "metrics": {"latencyMs": 900},
        },
    ),
]
STREAM = stream(*EVENTS)


def to_completion(losses: Losses) -> ConverseStream:
    return ConverseStream(CompletionHead("chatcmpl-fw-1", MODEL, 7, wants_usage=True), losses, decoder())


def read(data: bytes) -> bytes:
    translator = to_completion(Losses())
    return translator.feed(data) + translator.end()


def official(port: int) -> Any:
    return boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id="AKIA1",
        aws_secret_access_key="the-secret",
        config=Config(retries={"max_attempts": 0}),
    )


def test_the_official_client_reads_the_same_from_the_recorded_stream(upstream: UpstreamInThread) -> None:
    upstream.double.play(Script(headers=STREAM_HEADERS, pieces=[STREAM]))

    answer = official(upstream.port).converse_stream(
        modelId=MODEL, messages=[{"role": "user", "content": [{"text": "a"}]}]
    )
    events = list(answer["stream"])

    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    own = joined(read(STREAM))
    counts = events[-1]["metadata"]["usage"]
    assert is_signed(upstream.double.received[0], "the-secret")
    assert not is_signed(upstream.double.received[0], "another-secret")
    assert "".join(delta.get("text", "") for delta in deltas) == own["content"] == "Zwei Grüße."
    assert own["reasoning_content"] == "Let me see."
    assert own["thinking_blocks"] == [{"type": "thinking", "thinking": "Let me see.", "signature": "c2ln"}]
    calls = [(call["id"], call["name"], json.loads(call["arguments"])) for call in own["tool_calls"].values()]
    assert calls == [("tooluse_1", "read", {"p": 1}), ("tooluse_2", "write", {})]
    assert own["finish_reason"] == "tool_calls"
    assert own["usage"]["total_tokens"] == counts["totalTokens"]
    assert own["usage"]["prompt_tokens_details"] == {"cached_tokens": 20, "cache_write_tokens": 3}


@pytest.mark.parametrize("messages", [False, True], ids=["chat", "messages"])
async def test_a_stream_that_is_cut_at_any_byte_is_the_same(messages: bool) -> None:
    whole = await sent(to_completion, [STREAM], messages=messages)
    assert whole.endswith(b"data: [DONE]\n\n") or b"event: message_stop" in whole

    for pieces in cut_everywhere(STREAM):
        assert await sent(to_completion, pieces, messages=messages) == whole
    single = [STREAM[at : at + 1] for at in range(len(STREAM))]
    assert await sent(to_completion, single, messages=messages) == whole


async def test_a_stream_that_breaks_off_at_any_byte_ends_in_one_error() -> None:
    end = len(stream(*EVENTS[:-1]))
    for size in range(1, end):
        for messages, last in ((False, b"[DONE]"), (True, b"message_stop")):
            told = await sent(to_completion, [STREAM[:size]], broken=True, messages=messages)
            mark = b"event: error\n" if messages else b'"error":'
            assert told == b"status 502" or (told.count(mark) == 1 and last not in told)


async def test_a_stream_that_closes_after_its_stop_is_whole_without_the_usage() -> None:
    told = await sent(to_completion, [stream(*EVENTS[:-1])])

    assert told.endswith(b"data: [DONE]\n\n") and joined(told)["usage"]["total_tokens"] == 0


async def test_a_flipped_byte_is_never_taken_for_an_answer() -> None:
    whole = await sent(to_completion, [STREAM])
    for place in range(0, len(STREAM), 3):
        wrong = STREAM[:place] + bytes([STREAM[place] ^ 0xFF]) + STREAM[place + 1 :]
        told = await sent(to_completion, [wrong])
        assert told != whole
        assert told.startswith(b"status 5") or told.count(b'"error":') == 1


async def test_the_message_of_the_official_client_has_the_thinking_with_its_signature() -> None:
    message = accumulated(await sent(to_completion, [STREAM], messages=True))

    thinking, text, first, second = message.content
    assert (thinking.thinking, thinking.signature, text.text) == ("Let me see.", "c2ln", "Zwei Grüße.")
    assert (first.id, first.input, second.input) == ("tooluse_1", {"p": 1}, {})
    assert message.stop_reason == "tool_use"
    assert (message.usage.cache_read_input_tokens, message.usage.input_tokens) == (20, 10)


def test_a_wrong_value_in_an_event_does_not_break_its_stream() -> None:
    for place, (event, payload) in enumerate(EVENTS):
        for wrong in mutated(payload):
            read(stream(*EVENTS[:place], (event, wrong), *EVENTS[place + 1 :]))


def test_a_wrong_value_in_a_signed_chunk_does_not_break_its_message() -> None:
    events = read(STREAM).split(b"\n\n")
    for place, event in enumerate(events):
        if not event.startswith(b"data: {"):
            continue
        for wrong in mutated(json.loads(event.removeprefix(b"data: "))):
            changed = [*events[:place], b"data: " + json.dumps(wrong).encode(), *events[place + 1 :]]
            translated(to_message(), [b"\n\n".join(changed)])


@pytest.mark.parametrize("part", ["", None])
def test_a_call_without_arguments_has_an_empty_object_as_its_arguments(part: str | None) -> None:
    start = {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t1", "name": "now"}}}
    delta = [("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": part}}})]
    ends: list[tuple[str, Any]] = [("contentBlockStop", {}), ("messageStop", {"stopReason": "tool_use"})]

    told = joined(read(stream(("contentBlockStart", start), *(delta if part is not None else []), *ends)))

    assert told["tool_calls"][0]["arguments"] == "{}"


@pytest.mark.parametrize(
    ("exception", "told"),
    [
        ("throttlingException", b"status 429"),
        ("serviceUnavailableException", b"status 503"),
        ("modelStreamErrorException", b"status 502"),
        ("internalServerException", b"status 500"),
        ("validationException", b"status 400"),
    ],
)
async def test_an_exception_before_any_content_has_its_status(exception: str, told: bytes) -> None:
    begun = frame({"role": "assistant"}, "messageStart")

    assert await sent(to_completion, [begun + frame({"message": "Slow down."}, exception=exception)]) == told


async def test_an_exception_after_content_is_an_error_in_the_stream() -> None:
    broken = stream(*EVENTS[:7]) + frame({"message": "Slow down."}, exception="throttlingException")
    told = await sent(to_completion, [broken])

    assert told.count(b'"error":') == 1 and b"Slow down." in told and b"[DONE]" not in told
