"""The reasoning goes to `reasoning_content`, in whole answers and in streams cut anywhere."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BackendFailed
from gateway.wire.chat.as_stream import events
from gateway.wire.chat.reasoning import SplitStream, split_body
from tests.doubles.pieces import whole_events

TEXT = "First 3 + 4.\nThen it is 7.\n**Answer:** 7 apples"
BODY = {
    "id": "c-1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 9},
}


def stream_of(text: str, size: int) -> bytes:
    deltas = [text[start : start + size] for start in range(0, len(text), size)]
    chunks = [{"choices": [{"index": 0, "delta": {"content": delta}, "finish_reason": None}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    lines = [": a comment", *("data: " + json.dumps(chunk) for chunk in chunks), "data: [DONE]"]
    return "".join(line + "\n\n" for line in lines).encode()


def split_stream(stream: bytes, cuts: list[int]) -> bytes:
    edges = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)})

    async def pieces() -> AsyncIterator[bytes]:
        for piece in whole_events(*[stream[start:end] for start, end in itertools.pairwise(edges)]):
            yield piece

    async def joined() -> bytes:
        return b"".join([piece async for piece in SplitStream(pieces(), "Answer:")])

    return asyncio.run(joined())


def said(stream: bytes) -> tuple[str, str]:
    deltas = [
        json.loads(line[5:])["choices"][0]["delta"] for line in stream.splitlines() if line.startswith(b"data: {")
    ]
    return tuple("".join(delta.get(name) or "" for delta in deltas) for name in ("reasoning_content", "content"))  # type: ignore[return-value]


def test_a_whole_answer_is_split() -> None:
    message = json.loads(split_body(json.dumps(BODY).encode(), "Answer:"))["choices"][0]["message"]
    assert message["content"] == "7 apples"
    assert message["reasoning_content"] == "First 3 + 4.\nThen it is 7."


def test_what_has_no_marker_stays_byte_for_byte() -> None:
    body = json.dumps(BODY).encode()
    assert split_body(body, "Result:") is body
    assert split_body(b"<html>", "Answer:") == b"<html>"


@given(st.integers(1, 30), st.lists(st.integers(0, 5000), max_size=30))
def test_a_stream_is_split_wherever_it_is_cut(size: int, cuts: list[int]) -> None:
    split = split_stream(stream_of(TEXT, size), cuts)
    reasoning, answer = said(split)
    assert (reasoning.rstrip(), answer) == ("First 3 + 4.\nThen it is 7.", "7 apples")
    assert split.startswith(b": a comment\n\n")
    assert split.endswith(b"data: [DONE]\n\n")


def test_a_stream_without_the_marker_still_gives_the_answer() -> None:
    assert said(split_stream(stream_of("seven", 2), []))[1] == "seven"


def test_a_whole_answer_becomes_a_stream() -> None:
    made = b"".join(events(json.dumps(BODY).encode(), usage=True))
    chunks = [json.loads(line[5:]) for line in made.splitlines() if line.startswith(b"data: {")]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": TEXT}
    assert chunks[1]["choices"][0]["finish_reason"] == "stop"
    assert chunks[2]["usage"]["completion_tokens"] == 9
    assert b'"usage"' not in b"".join(events(json.dumps(BODY).encode(), usage=False))


def test_what_a_stream_held_back_comes_before_its_end_mark() -> None:
    stream = stream_of("so\nAnswer", 2).replace(b', "finish_reason": "stop"', b"")
    split = split_stream(stream, [])
    assert said(split)[1] == "so\nAnswer"
    assert split.endswith(b"data: [DONE]\n\n")


def test_answers_of_another_shape_pass() -> None:
    for body in (b'{"choices": null}', b'{"choices": [{"message": {"content": [{"type": "text"}]}}]}'):
        assert split_body(body, "Answer:") is body
    with pytest.raises(BackendFailed):
        events(b"<html>", usage=False)
