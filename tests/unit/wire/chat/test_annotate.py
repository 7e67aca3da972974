"""The `foreword` object is added; nothing else in a reply changes."""

import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.chat import annotate

OBJECTS = st.dictionaries(st.text().filter(lambda name: name != "foreword"), st.none() | st.text() | st.integers())


@given(OBJECTS, st.sampled_from(["", "\n", "  \n"]))
def test_a_body_gains_one_member_at_its_end(reply: dict[str, object], end: str) -> None:
    out = json.loads(annotate.body((json.dumps(reply) + end).encode(), b'{"exchange":"x"}'))

    assert out == {**reply, "foreword": {"exchange": "x"}}


def test_what_is_no_object_stays_as_it_is() -> None:
    for reply in (b"", b"[1]", b"<html>", b"{"):
        assert annotate.body(reply, b"{}") == reply


def test_the_first_event_of_a_stream_carries_it() -> None:
    piece = b': hi\n\ndata: {"choices":[]}\n\ndata: {"choices":[1]}\n\n'

    out, done = annotate.first_event(piece, b'{"a":1}')

    assert done
    assert out == b': hi\n\ndata: {"choices":[],"foreword":{"a":1}}\n\ndata: {"choices":[1]}\n\n'


def test_half_an_event_is_left_for_later() -> None:
    for piece in (b'data: {"choices":[', b"data: [DONE]\n\n", b": comment\n\n"):
        assert annotate.first_event(piece, b"{}") == (piece, False)
