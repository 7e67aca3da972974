"""Streams of server-sent events are cut into whole events, wherever the network cut them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BackendFailed
from gateway.wire.sse import EventCutter, data_in, events
from tests.doubles.pieces import cut_everywhere, whole_events

STREAMS = {
    "plain": b'data: {"a":1}\n\ndata: {"b":2}\n\ndata: [DONE]\n\n',
    "windows lines": b'data: {"a":1}\r\n\r\n: c\r\ndata: {"b":2}\r\n\r\ndata:[DONE]\r\n\r\n',
    "old mac lines": b'data: {"a":1}\r\r: c\r\rdata: {"b":2}\r\rdata: [DONE]\r\r',
    "byte order mark": b'\xef\xbb\xbfdata: {"a":1}\n\ndata: {"b":2}\n\ndata: [DONE]\n\n',
    "comments": b': hi\n\n:\n: x\ndata: {"a":1}\n\n: ping\ndata: {"b":2}\n: inside\n\n\n\ndata: [DONE]\n\n',
    "names, ids, several lines": b'id: 1\nevent: x\ndata: {"a":\ndata: 1}\n\n'
    b'retry: 3\ndata:\n\ndata: {"b":2}\n\ndata: [DONE]',
    "empty data": b'data: \n\ndata\n\ndata: {"a":1}\n\ndata:\n\ndata: {"b":2}\n\ndata: [DONE]\n\n',
}
EXPECTED = [b'{"a":1}', b'{"b":2}', b"[DONE]"]


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS.keys())
def test_a_stream_cut_at_any_byte_holds_the_same_events(stream: bytes) -> None:
    for pieces in cut_everywhere(stream):
        whole = whole_events(*pieces)

        assert b"".join(whole) == stream
        assert [data.replace(b"\n", b"") for piece in whole for data in data_in(piece)] == EXPECTED
        assert [event.data.replace(b"\n", b"") for piece in whole for event in events(piece)] == EXPECTED


@given(st.lists(st.sampled_from([b"\r", b"\n", b":", b"a", b"data: x", b"\xef\xbb\xbf"]), max_size=14), st.data())
def test_bytes_in_any_order_are_cut_into_the_same_events(parts: list[bytes], draw: st.DataObject) -> None:
    stream = b"".join(parts)
    places = sorted(draw.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    pieces = [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]
    whole = whole_events(*pieces)

    assert b"".join(whole) == stream
    assert [event.data for piece in whole for event in events(piece)] == [event.data for event in events(stream)]


def test_a_piece_of_whole_events_comes_back_uncopied() -> None:
    piece = STREAMS["plain"]

    assert EventCutter().feed(piece) is piece


def test_a_whole_event_is_passed_on_before_the_next_one_is_complete() -> None:
    cutter = EventCutter()

    assert cutter.feed(b"data: a\n\ndata: b") == b"data: a\n\n"
    assert cutter.feed(b"\n\n") == b"data: b\n\n"


@pytest.mark.parametrize("comment", [b": ping\n", b":\n", b": ping\r\n", b"\n"])
def test_a_comment_keeps_the_connection_alive_and_waits_for_no_event(comment: bytes) -> None:
    cutter = EventCutter()

    assert cutter.feed(comment) == comment
    assert cutter.feed(b"data: a\n\n" + comment) == b"data: a\n\n" + comment


def test_the_name_of_an_event_is_read() -> None:
    assert [(event.name, event.data) for event in events(b"event: error\ndata: overloaded\n\n")] == [
        (b"error", b"overloaded")
    ]


def test_an_event_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.wire.sse.LONGEST_EVENT", 1000)
    cutter = EventCutter()

    with pytest.raises(BackendFailed, match="more than"):
        for _ in range(20):
            cutter.feed(b"data: " + b"x" * 100 + b"\n")
