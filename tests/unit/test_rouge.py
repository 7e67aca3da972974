"""The summaries' measure: known values, and the subsequence against its definition."""

from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.harness.rouge import longest_common, rouge

WORDS = st.lists(st.sampled_from("abcd"), max_size=12)


def test_the_example_of_the_paper() -> None:
    # "police killed the gunman" and its two candidates, Lin 2004, section 3.1
    reference = "police killed the gunman"

    assert rouge("Police kill the gunman.", reference) == (0.75, 1 / 3, 0.75)
    assert rouge("the gunman kill police", reference) == (0.75, 1 / 3, 0.5)


def test_a_word_counts_as_often_as_both_have_it() -> None:
    assert rouge("the the the the", "the cat") == (1 / 3, 0.0, 1 / 3)
    assert rouge("", "the cat") == (0.0, 0.0, 0.0)
    assert rouge("a cat", "a cat") == (1.0, 1.0, 1.0)


@given(WORDS, WORDS)
def test_the_longest_common_subsequence_is_what_its_definition_says(a: list[str], b: list[str]) -> None:
    @cache
    def longest(i: int, j: int) -> int:
        if i == len(a) or j == len(b):
            return 0
        return 1 + longest(i + 1, j + 1) if a[i] == b[j] else max(longest(i + 1, j), longest(i, j + 1))

    assert longest_common(a, b) == longest(0, 0)
