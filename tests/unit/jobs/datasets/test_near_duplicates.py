"""Near-duplicates are found whatever their order, and what is different stays."""

import numpy as np
import pytest

from offline_jobs.datasets.near_duplicates import firsts, likeness, signature

LONG = "The committee will meet on Tuesday to discuss the budget of the new school building in the old town. "


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        (LONG, LONG.upper(), True),
        (LONG, LONG.replace("Tuesday", "Monday"), True),
        (LONG, "A completely different sentence about fishing boats that return at night in winter storms.", False),
        ("hi", "hi", True),
        ("", "hello there", False),
        ("把这句话翻译成英文", "把这段文字总结一下", False),
    ],
)
def test_likeness(first: str, second: str, alike: bool) -> None:
    assert (likeness(first, second) >= 0.7) is alike


def test_of_texts_that_are_alike_the_first_stays() -> None:
    texts = [LONG, "something else entirely", LONG + "!", "something else entirely", LONG.lower()]
    assert firsts(np.stack([signature(text) for text in texts])).tolist() == [True, True, False, False, False]


def test_the_estimate_is_near_the_true_share_of_common_pieces() -> None:
    words = [f"word{number}" for number in range(200)]
    for shared in (50, 100, 150):
        first, second = " ".join(words), " ".join([*words[:shared], *(f"other{n}" for n in range(200 - shared))])
        pieces = [{text[at : at + 5] for at in range(len(text) - 4)} for text in (first, second)]
        true = len(pieces[0] & pieces[1]) / len(pieces[0] | pieces[1])
        assert abs(likeness(first, second) - true) < 0.25


def test_nothing_is_like_nothing() -> None:
    assert firsts(np.zeros((0, 32), np.uint32)).tolist() == []
