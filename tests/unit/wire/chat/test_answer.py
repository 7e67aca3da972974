"""Reading a finished reply: whole bodies, streams, and bytes that are neither."""

import gzip
import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.ports import Answer
from gateway.wire.chat.answer import read_answer

BODY = {
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"},
        {"index": 1, "message": {"role": "assistant", "content": "Other"}, "finish_reason": "length"},
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1},
}


def test_a_body_gives_the_first_choice_and_its_usage() -> None:
    assert read_answer(json.dumps(BODY).encode(), "application/json") == Answer("Hi", "stop", 3, 1)


def test_a_compressed_body_is_read_too() -> None:
    packed = gzip.compress(json.dumps(BODY).encode())

    assert read_answer(packed, "application/json", "gzip").text == "Hi"


def test_a_stream_is_joined() -> None:
    stream = (
        b': comment\n\ndata: {"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}\n\n'
        b'data: {"choices":[{"index":0,"delta":{"content":"Hel"}}]}\r\n\r\n'
        b'data: {"choices":[{"index":1,"delta":{"content":"no"}}]}\n\n'
        b'data:{"choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"stop"}]}\n\n'
        b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}\n\ndata: [DONE]\n\n'
    )

    assert read_answer(stream, "text/event-stream; charset=utf-8") == Answer("Hello", "stop", 5, 2)


def test_a_broken_stream_gives_what_came() -> None:
    stream = b'data: {"choices":[{"index":0,"delta":{"content":"Hel"}}]}\n\ndata: {"cho'

    assert read_answer(stream, "text/event-stream").text == "Hel"


@given(st.binary(), st.sampled_from(["application/json", "text/event-stream", "text/html", ""]))
def test_no_bytes_make_it_fail(body: bytes, kind: str) -> None:
    assert isinstance(read_answer(body, kind, "gzip" if body[:1] == b"g" else ""), Answer)
