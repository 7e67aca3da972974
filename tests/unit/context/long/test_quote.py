"""What reading in parts will cost, known beforehand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.context.long.parts import parts
from gateway.context.long.quote import CannotRead, WindowRoom, beside_notes, part_tokens, refine, tree


def words(text: str) -> int:
    return len(text.split())


def test_levels_are_counted_until_the_results_fit_the_last_prompt() -> None:
    room = WindowRoom(window=1000, prompt=100, result=100, final=340)
    quote = tree(20, 16_000, room)
    # 20 results, 7 of which one call merges with blank lines between: 3 remain, and 3 fit with their numbers
    assert (quote.part_tokens, quote.fan_in, quote.depth, quote.calls) == (800, 7, 2, 23)
    assert quote.tokens_out == 2300


def test_a_window_without_room_is_refused_with_the_numbers() -> None:
    with pytest.raises(CannotRead, match="a window of 300 tokens leaves 20"):
        part_tokens(WindowRoom(300, 180, 100, 100))
    with pytest.raises(CannotRead, match="too long to be merged"):
        tree(3, 900, WindowRoom(1000, 100, 500, 600))


def test_refining_takes_one_call_a_part() -> None:
    room = beside_notes(WindowRoom(1000, 100, 100, 300))
    assert (refine(7, 4000, room).calls, part_tokens(room)) == (7, 700)


@given(st.integers(1, 500), st.integers(400, 4000), st.integers(20, 100), st.integers(0, 2000))
def test_a_quote_ends_and_its_calls_are_bounded(count: int, window: int, result: int, final: int) -> None:
    try:
        quote = tree(count, count * 100, WindowRoom(window, 100, result, final))
    except CannotRead:
        return
    assert count <= quote.calls <= 2 * count + quote.depth


@given(st.lists(st.sampled_from(["word", "Another one.", "End!\n\n", "three more words\n"]), max_size=200))
def test_parts_fit_and_hold_every_word_once(pieces: list[str]) -> None:
    text = " ".join(pieces)
    found = parts(text, 64, words)
    assert all(words(part.text) <= 64 for part in found)
    assert " ".join(part.text for part in found).split() == text.split()
    assert all(text[part.start : part.end] == part.text for part in found)
