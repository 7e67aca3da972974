from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.citations.marks import CitationMark, MarkFinder, marks_in


def test_a_mark_is_known_by_the_place_behind_it() -> None:
    text = "Fünf\nTage [1], 见【2、3】"

    assert marks_in(text) == [CitationMark(text.index("]") + 1, (1,)), CitationMark(len(text), (2, 3))]


def test_a_mark_is_told_as_soon_as_it_ends_unless_code_may_hold_it() -> None:
    marks = MarkFinder()

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
    marks, found = MarkFinder(), []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        found += marks.feed(text[start:end])

    assert found + marks.finish() == marks_in(text)
    assert all(text[mark.end - 1] in "]】" for mark in found)
