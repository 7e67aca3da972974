import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.cited import Mark, Marks, held_against, marks_in, note, numbers_in


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Fifteen days [1].", [1]),
        ("Fifteen [2], signed [1][2] and [3, 4].", [2, 1, 3, 4]),
        ("十五天【1】，见[2、3]。", [1, 2, 3]),
        ("items[0] of a[1234] and [a] and []", [0]),
        ("The call `row[1]` gives ``a`[2]`` [3], a lone ` does not hide [4].", [3, 4]),
        ("See [1]:\n```python\nrow[2]\n```\nand [3].\n```\nrow[4]", [1, 3]),
        ("```sh``` is no block [1].", [1]),
        ("", []),
    ],
)
def test_numbers_in_brackets_are_citations(text: str, numbers: list[int]) -> None:
    assert numbers_in(text) == numbers


def test_a_number_without_a_source_is_told_apart() -> None:
    assert held_against("As [1] and [7] say, and [0].", 3) == {"cited": [1], "unknown": [7, 0]}


def test_the_answer_is_read_from_a_body_or_from_the_pieces_of_a_stream() -> None:
    body = {"choices": [{"index": 0, "message": {"content": "Fifteen [2]."}}]}
    deltas = [{"choices": [{"index": 0, "delta": {"content": part}}]} for part in ("Fif", "teen [", "2]", ".")]
    stream = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in deltas) + b"data: [DONE]\n\n"

    whole, streamed = note(2, json.dumps(body).encode()), note(1, stream, "text/event-stream")

    assert (whole.decision, whole.data) == ("cited", {"cited": [2], "unknown": []})
    assert (streamed.decision, streamed.data) == ("not cited", {"cited": [], "unknown": [2]})
    assert streamed.reason == "no source has the number 2"
    assert note(2, b"<html>").data == {"cited": [], "unknown": []}


def test_a_mark_is_known_by_the_place_behind_it() -> None:
    text = "Fünf\nTage [1], 见【2、3】"

    assert marks_in(text) == [Mark(text.index("]") + 1, (1,)), Mark(len(text), (2, 3))]


def test_a_mark_is_told_as_soon_as_it_ends_unless_code_may_hold_it() -> None:
    marks = Marks()

    assert [len(marks.feed(piece)) for piece in ("Fifteen [", "1", "] days", " `row", "[2]", "`\n")] == [
        0,
        0,
        1,
        0,
        0,
        0,
    ]
    assert [len(marks.feed(piece)) for piece in ("` [3]", "\n")] == [0, 1]


ODD = st.lists(
    st.sampled_from(["[1]", "[2, 3]", "[", "]", "1", "【4】", "`", "```", "```py", "\n", " ", "a", ", "]), max_size=30
)


@given(ODD, st.data())
def test_however_a_text_is_cut_its_marks_are_the_same(parts: list[str], data: st.DataObject) -> None:
    text = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    marks, found = Marks(), []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        found += marks.feed(text[start:end])

    assert found + marks.finish() == marks_in(text)
    assert all(text[mark.end - 1] in "]】" for mark in found)
