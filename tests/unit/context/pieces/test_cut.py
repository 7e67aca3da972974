"""A text is cut where it allows it, and nothing of it is lost."""

import re

from hypothesis import given
from hypothesis import strategies as st

from gateway.context.pieces.cut import cut, halves
from gateway.context.pieces.stitch import Stitcher

TABLE = "| name | amount |\n|---|---|\n" + "\n".join(f"| item {n} | {n * 3} |" for n in range(60))
CODE = "```python\n" + "\n".join(f"x{n} = {n}" for n in range(30)) + "\n```"


def count(text: str) -> int:
    return len(re.findall(r"\w+|[^\w\s]", text))


FRAGMENTS = (
    "One short sentence.", "Is it late? ", "- an item\n", "\n\n", "\n", "| a | b |\n", "word ", "你好。", "，", "```\n",
    "    x = 1\n",
)  # fmt: skip
fragments = st.sampled_from(FRAGMENTS)


@given(st.lists(fragments, min_size=1, max_size=120), st.integers(5, 60))
def test_pieces_and_gaps_are_the_whole_text_and_no_piece_is_too_long(parts: list[str], tokens: int) -> None:
    text = "".join(parts).strip()
    pieces = cut(text, tokens, count)
    assert "".join(piece.text + piece.gap for piece in pieces) == text
    assert all(piece.text and count(piece.text) <= tokens for piece in pieces)


@given(st.integers(20, 400), st.integers(12, 60))
def test_no_sentence_is_cut_where_pieces_hold_one(sentences: int, tokens: int) -> None:
    text = "".join(f"Sentence {n} says little." + ("\n\n" if n % 7 == 0 else " ") for n in range(sentences)).strip()
    assert all(piece.text.endswith(".") for piece in cut(text, tokens, count))


def test_rows_and_list_items_stay_whole_and_a_later_piece_of_a_table_knows_its_title_row() -> None:
    pieces = cut(TABLE, 80, count)
    assert len(pieces) > 4
    assert all(line.startswith("|") and line.endswith("|") for piece in pieces for line in piece.text.split("\n"))
    assert {piece.lead for piece in pieces[1:]} == {"| name | amount |\n|---|---|"}
    csv = cut("id,name\n" + "\n".join(f"{n},Ann" for n in range(90)), 60, count)
    assert {piece.lead for piece in csv[1:]} == {"id,name"}


def test_a_code_block_is_cut_last() -> None:
    text = f"{'Some words before it. ' * 6}\n\n{CODE}\n\n{'Some words behind it. ' * 6}".strip()
    pieces = cut(text, 130, count)
    assert len(pieces) > 1
    assert any(CODE in piece.text for piece in pieces)


def test_halves_are_the_piece() -> None:
    (piece, *_) = cut(TABLE, 400, count)
    parts = halves(piece, count)
    assert len(parts) == 2
    assert "".join(part.text + part.gap for part in parts) == piece.text + piece.gap


def joined(*results: str, gap: str = "\n\n") -> str:
    stitcher = Stitcher()
    return "".join(stitcher.add(result, gap) for result in results) + stitcher.finish()


def test_what_stands_around_each_result_stands_once_around_the_whole() -> None:
    assert joined("One.", "Two.") == "One.\n\nTwo."
    assert joined("```py\na\n```", "```py\nb\n```", gap="\n") == "```py\na\nb\n```"
    assert joined('[{"a": 1}]', '[{"a": 2}]', "[]", gap="\n") == '[{"a": 1},{"a": 2}]'
    table = "| a |\n|---|\n"
    assert joined(f"{table}| 1 |", f"{table}| 2 |", gap="\n") == f"{table}| 1 |\n| 2 |"


def test_what_only_looks_like_a_seam_stays() -> None:
    assert joined("See [1]", "and [2].") == "See [1]\n\nand [2]."
    assert joined("```py\na\n```", "Text.") == "```py\na\n```\n\nText."
