"""The statistics, against SciPy and against published examples."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.records.scores import (
    Scores,
    bootstrap,
    difference,
    fisher,
    mann_whitney,
    mcnemar,
    needed_a_side,
    newcombe,
    paired,
    sign_flip,
    wilson,
)

stats = pytest.importorskip("scipy.stats")
counts = st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
graded = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=2, max_size=60)


@given(counts)
def test_wilson_is_scipys(share: tuple[int, int]) -> None:
    ones, n = share
    known = stats.binomtest(ones, n).proportion_ci(method="wilson")

    assert wilson(ones, n) == pytest.approx((known.low, known.high), abs=1e-9)


def test_newcombe_is_as_published() -> None:
    """Two of the examples of Newcombe (1998), method 10."""
    assert newcombe(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert newcombe(10, 10, 0, 20) == pytest.approx((0.6791, 1.0), abs=5e-5)


@given(counts, counts)
def test_fisher_is_scipys(a: tuple[int, int], b: tuple[int, int]) -> None:
    known = stats.fisher_exact([[a[0], a[1] - a[0]], [b[0], b[1] - b[0]]]).pvalue

    assert fisher(*a, *b) == pytest.approx(known, rel=1e-5, abs=1e-12)


@given(graded, graded)
def test_mann_whitney_is_scipys(a: list[float], b: list[float]) -> None:
    known = stats.mannwhitneyu(a, b, method="asymptotic").pvalue if len({*a, *b}) > 1 else 1.0

    assert mann_whitney(Scores.of(a), Scores.of(b)) == pytest.approx(known, rel=1e-6, abs=1e-12)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_sign_test(better: int, worse: int) -> None:
    known = stats.binomtest(better, better + worse).pvalue if better + worse else 1.0

    assert mcnemar(better, worse) == pytest.approx(known, rel=1e-6)


def test_the_bootstrap_finds_scipys_interval() -> None:
    random = Random(3)
    a = [random.choice([0.0, 0.25, 0.5, 1.0]) for _ in range(150)]
    b = [random.choice([0.0, 0.25, 0.25, 0.5, 1.0]) for _ in range(120)]
    known = stats.bootstrap(
        (a, b),
        lambda x, y, axis: x.mean(axis) - y.mean(axis),
        method="percentile",
        n_resamples=5000,
        random_state=1,
    ).confidence_interval

    assert bootstrap(Scores.of(a), Scores.of(b), Random(1)) == pytest.approx(tuple(known), abs=0.015)


def test_the_random_sign_test_agrees_with_scipys_permutations() -> None:
    random = Random(5)
    pairs = [random.choice([-1.0, -0.5, 0.0, 0.5, 0.5, 1.0]) for _ in range(40)]
    known = stats.permutation_test(
        (pairs,),
        lambda x, axis: x.mean(axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=5000,
        random_state=1,
    ).pvalue

    assert sign_flip(pairs, Random(1)) == pytest.approx(known, abs=0.02)


def test_how_many_are_needed_for_the_difference_seen() -> None:
    """0.8 against 0.6 takes 79 a side by the textbook's formula without pooling."""
    a, b = Scores({1.0: 8000, 0.0: 2000}), Scores({1.0: 6000, 0.0: 4000})

    assert needed_a_side(a, b) == pytest.approx(79, abs=1)


def test_a_few_perfect_answers_do_not_suffice_to_say_that_all_are() -> None:
    assert needed_a_side(Scores({1.0: 3}), Scores({0.0: 3})) > 3


def test_graded_scores_in_great_numbers_have_the_normal_interval() -> None:
    a, b = Scores({0.0: 2000, 0.5: 3000, 1.0: 5000}), Scores({0.0: 2000, 0.5: 4000, 1.0: 4000})

    found = difference(a, b, Random(1))

    assert found.method == "normal, Mann-Whitney"
    assert found.difference == pytest.approx(0.05)
    assert (found.low, found.high) == pytest.approx((0.0394, 0.0606), abs=2e-4)


@given(graded, graded)
@settings(max_examples=10)
def test_turning_the_sides_round_turns_the_interval_round(a: list[float], b: list[float]) -> None:
    one = difference(Scores.of(a), Scores.of(b), Random(1))
    other = difference(Scores.of(b), Scores.of(a), Random(1))

    assert one.low <= one.difference + 1e-9
    assert one.difference <= one.high + 1e-9
    assert other.difference == pytest.approx(-one.difference)
    assert other.p == pytest.approx(one.p)
    # a percentile of few resampled scores may land a step beside: they are drawn anew, and lie that far apart
    step = 1 / min(len(a), len(b))
    assert other.low == pytest.approx(-one.high, abs=0.05 + step)


def test_pairs_are_tested_by_mcnemar_and_have_a_bootstrap_interval() -> None:
    found = paired([1.0] * 30 + [-1.0] * 10 + [0.0] * 60, Random(1))

    assert (found.pairs, found.mean) == (100, pytest.approx(0.2))
    assert found.p == pytest.approx(stats.binomtest(30, 40).pvalue)
    assert (found.low, found.high) == pytest.approx((0.08, 0.32), abs=0.02)


def test_no_pairs_say_nothing() -> None:
    assert paired([], Random(1)).pairs == 0
