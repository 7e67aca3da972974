import json

import pytest

from gateway.wire.citations.note import held_against, note, numbers_in


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
