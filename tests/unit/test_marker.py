"""Where reasoning ends and the answer begins, in a whole text and in one that comes in pieces."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.marker import Splitter, split

PIECES = st.lists(
    st.sampled_from(["Answer", ":", "\n", " ", "**", "ans", "wer", "so", "42", "：", "A", "is Answer: no"])
)


def in_pieces(pieces: list[str], marker: str) -> tuple[str, str]:
    splitter = Splitter(marker)
    said = [splitter.feed(piece) for piece in pieces]
    said.append(splitter.finish())
    return "".join(reasoning for reasoning, _ in said), "".join(answer for _, answer in said)


def test_the_answer_is_what_follows_the_markers_line() -> None:
    assert split("3 + 4 = 7\nAnswer: 7", "Answer:") == ("3 + 4 = 7", "7")
    assert split("so\n**Answer:** 7 apples\n", "answer:") == ("so", "7 apples")
    assert split("先算\n答案：七", "答案:") == ("先算", "七")


def test_a_marker_in_the_middle_of_a_line_is_only_text() -> None:
    assert split("The right Answer: is near", "Answer:") is None


def test_a_text_without_the_marker_is_all_answer() -> None:
    assert in_pieces(["no", " mark", "er"], "Answer:")[1] == "no marker"


def test_reasoning_is_not_held_back() -> None:
    splitter = Splitter("Answer:")
    assert splitter.feed("First, we add") == ("First, we add", "")
    assert splitter.feed(" three.\nAns") == (" three.\n", "")
    assert splitter.feed("wers vary") == ("Answers vary", "")


@given(PIECES)
def test_pieces_say_the_same_as_the_whole(pieces: list[str]) -> None:
    whole = split("".join(pieces), "Answer:")
    reasoning, answer = in_pieces(pieces, "Answer:")
    if whole is None or not whole[1]:
        assert answer.strip(" \t*#>_`\n") in ("".join(pieces), "".join(pieces).strip(" \t*#>_`\n"), "")
    else:
        assert (reasoning.rstrip(), answer.strip()) == whole


@given(PIECES, st.integers(1, 5))
def test_where_the_pieces_are_cut_does_not_matter(pieces: list[str], size: int) -> None:
    text = "".join(pieces)
    cut = [text[start : start + size] for start in range(0, len(text), size)]
    assert in_pieces(cut, "Answer:")[1] == in_pieces([text] if text else [], "Answer:")[1]


def test_a_longer_word_is_no_marker() -> None:
    assert split("Answers vary.\nAnswer 4", "Answer") == ("Answers vary.", "4")
