"""The features by which texts are grouped, and how a portion stores them."""

from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest

from offline_jobs.discover.feature_files import FeatureRows, add_counts, most_telling
from offline_jobs.discover.features import features, hashed
from offline_jobs.discover.known import COUNTERS
from offline_jobs.discover.mine import primary
from offline_jobs.discover.tokens import DATE, masked

DRAWS = 3000
PIECES = [
    "1",
    "12",
    "2024",
    "-",
    "/",
    ".",
    ":",
    "jan",
    "Sept",
    "december",
    "st",
    "th",
    "day",
    "Mon",
    "monday",
    "wednes",
    "x",
    "年",
    "月",
    "日",
    "Mayday",
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Today is 15th jan, 2024 or so", f"Today is {DATE} or so"),
        ("Monday: pay 12 at 10:30", f"{DATE}: pay 0 at {DATE}"),
        ("今天是2024年1月5日吗", f"今天是{DATE}吗"),
        ("someday, in 3 steps", "someday, in 0 steps"),
        ("7", "0"),
        ("", ""),
    ],
)
def test_dates_and_numbers_are_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


def test_a_date_is_masked_wherever_it_stands() -> None:
    """Far text does not change how a piece of text is masked, because dates have few spaces."""
    draw = Random(1)
    for _ in range(DRAWS):
        text = "".join(draw.choice([*PIECES, " ", " ", "\n", ","]) for _ in range(12))
        far = "far " * 8
        assert masked(f"{far}{text} {far}") == f"{far}{masked(text)} {far}"


def test_the_middle_of_a_long_text_gives_no_feature_of_its_ends() -> None:
    start, end = (
        "Sort this ticket for the desk of the bank, and name one label",
        "Answer with one label, and with nothing else at all",
    )
    hashes = [{one.hash for one in features(f"{start} {middle} {end}")} for middle in ("word " * 400, "term " * 400)]
    assert hashes[0] & hashes[1]


def test_the_most_telling_feature_of_stored_rows_is_that_of_the_texts(tmp_path: Path) -> None:
    draw = Random(2)
    lines = [f"This is the fixed line number {'abcdefgh'[at]} of all." for at in range(8)]
    texts = {f"fw-{at}": "\n".join(draw.sample(lines, 3)) + f"\nand free words {'x' * at}" for at in range(60)}
    texts["fw-empty"] = ""
    rows = FeatureRows()
    for id, text in texts.items():
        rows.add(id, features(text))
    rows.write(tmp_path / "rows.npz")
    table = np.zeros(COUNTERS, np.uint32)
    add_counts(tmp_path / "rows.npz", table)
    counts = Counter(one.hash for text in texts.values() for one in features(text))
    expected = {hashed(id): best for id, text in texts.items() if (best := primary(features(text), counts))}
    assert most_telling(tmp_path / "rows.npz", table) == expected
    assert len(expected) == 60
