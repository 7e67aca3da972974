"""A shape is exact: what it reads, it can write again, and what it cannot write it does not read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.prompt.found.shape import OPEN, REACH, TextShape

TEXTS = st.text(alphabet="ab: \n", max_size=12)


@given(st.lists(TEXTS, min_size=1, max_size=4), st.lists(TEXTS, min_size=3, max_size=3))
def test_what_a_shape_reads_it_writes_again(pieces: list[str], values: list[str]) -> None:
    shape = TextShape(tuple(pieces))
    text = shape.text(values[: shape.parts])
    read = shape.values(text)
    assert read is not None
    assert shape.text(read) == text
    assert (shape.last_values(text) is None) is False


@pytest.mark.parametrize("text", ["Title: a", "Title: a\nBody", "title: a\nBody: b", ""])
def test_a_text_without_a_piece_is_not_read(text: str) -> None:
    assert TextShape(("Title: ", "\nBody: ", "")).values(text) is None


def test_first_and_last_piece_may_not_overlap() -> None:
    assert TextShape(("abc", "cde")).values("abcde") is None


def test_a_value_with_a_piece_in_it_can_be_read_in_two_ways() -> None:
    shape = TextShape(("A: ", "\nB: ", ""))
    text = "A: x\nB: y\nB: z"
    assert shape.values(text) == ("x", "y\nB: z")
    assert shape.last_values(text) == ("x\nB: y", "z")


def test_a_piece_in_the_middle_of_a_long_text_is_another_way_to_read_the_text() -> None:
    shape = TextShape(("A: ", "\nB: ", ""))
    long = "x" * (2 * REACH)
    text = f"A: quoted\nB: quoted{long}\nB: {long}"
    assert shape.values(text) is not None
    assert shape.is_ambiguous(text)
    assert not shape.is_ambiguous(f"A: {long}\nB: {long}")


def test_a_piece_in_the_middle_of_a_long_text_is_not_searched() -> None:
    shape = TextShape(("A: ", "\nB: ", ""))
    near, far = "x" * 100, "x" * (2 * REACH)
    assert shape.values(f"A: {near}\nB: {far}") == (near, far)
    assert shape.values(f"A: {far}\nB: {near}") == (far, near)
    assert shape.values(f"A: {far}\nB: {far}") is None


def test_an_open_shape_reads_everything() -> None:
    assert OPEN.is_open
    assert OPEN.values("anything") == ("anything",)
