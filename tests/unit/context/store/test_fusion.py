import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.context.store.fusion import FOLLOWING, SUPPORT, fused, gathered, supported

DENSE = [(1, 0.9), (2, 0.5), (3, 0.4)]
WORDS = [(3, 1.0), (4, 0.6)]
RANKED = st.dictionaries(st.integers(0, 20), st.floats(0, 1)).map(
    lambda scores: sorted(scores.items(), key=lambda pair: -pair[1])
)


@pytest.mark.parametrize(("weight", "order"), [(1.0, [1, 2, 3, 4]), (0.0, [3, 4, 1, 2]), (0.5, [3, 4, 1, 2])])
def test_the_weight_says_which_search_counts(weight: float, order: list[int]) -> None:
    assert [key for key, _ in fused(DENSE, WORDS, weight)] == order


def test_what_a_cut_off_search_did_not_reach_is_at_most_as_near_as_its_last() -> None:
    assert dict(fused(DENSE, WORDS, 0.5))[4] == pytest.approx(0.5 * 0.4 + 0.5 * 0.6)
    assert dict(fused(DENSE, WORDS, 0.5, complete=True))[4] == pytest.approx(0.3)


@given(dense=RANKED, words=RANKED, weight=st.floats(0, 1))
def test_every_key_that_was_found_is_there_once_in_order(
    dense: list[tuple[int, float]], words: list[tuple[int, float]], weight: float
) -> None:
    mixed = fused(dense, words, weight)

    assert sorted(key for key, _ in mixed) == sorted({*dict(dense), *dict(words)})
    assert [score for _, score in mixed] == sorted((score for _, score in mixed), reverse=True)
    assert all(0 <= score <= 1 + 1e-9 for _, score in mixed)


def test_a_chunk_gains_by_the_two_best_near_it_in_the_same_document() -> None:
    documents = {1: 7, 2: 7, 3: 8, 4: 7, 5: 7, 9: 7}

    told = dict(supported([(3, 0.9), (9, 0.5), (1, 0.4), (5, 0.3), (2, 0.2), (4, 0.1)], documents))

    gains = {1: 0.2 + 0.1, 2: 0.4 + 0.3, 3: 0.0, 4: 0.4 + 0.3, 5: 0.2 + 0.1, 9: 0.0}
    scores = {1: 0.4, 2: 0.2, 3: 0.9, 4: 0.1, 5: 0.3, 9: 0.5}
    assert told == pytest.approx({key: score + SUPPORT * gains[key] / 2 for key, score in scores.items()})


def test_scores_stay_within_one_and_keep_their_order() -> None:
    told = supported([(1, 0.98), (2, 0.99), (3, 0.97)], {1: 7, 2: 7, 3: 7})

    assert told == [(2, 1.0), (1, 1.0), (3, 1.0)]


def test_what_has_no_live_document_is_left_out_and_supports_nothing() -> None:
    assert supported([(1, 0.9), (2, 0.5)], {2: 7}) == [(2, 0.5)]


def test_what_adjoins_a_chosen_chunk_comes_before_what_stands_alone() -> None:
    documents = {1: 7, 2: 7, 30: 7, 40: 7}
    words = [(1, 0.9), (30, 0.32), (40, 0.31), (2, 0.05)]

    order = [key for key, _ in gathered([], words, 0.0, documents, 4)]

    assert order == [1, 2, 30, 40]
    assert 0.05 + SUPPORT * 0.9 / 2 < 0.32 < 0.05 + SUPPORT * 0.9 / 2 + FOLLOWING * 0.9


def test_the_next_document_does_not_follow() -> None:
    words = [(1, 0.9), (30, 0.3), (2, 0.05)]

    assert [key for key, _ in gathered([], words, 0.0, {1: 7, 2: 8, 30: 7}, 3)] == [1, 30, 2]


def test_a_cosine_that_all_chunks_have_brings_no_neighbour_forward() -> None:
    dense = [(key, 0.6) for key in (100, 101, *range(200, 300, 5), 30)]
    owners = {key: 7 for key, _ in dense}

    order = [key for key, _ in gathered(dense, [(100, 0.9), (30, 0.5)], 0.5, owners, 3)]

    assert order == [100, 30, 101]


@given(dense=RANKED, words=RANKED, weight=st.floats(0, 1), limit=st.integers(0, 25))
def test_scores_are_dealt_from_the_best_down_and_each_key_once(
    dense: list[tuple[int, float]], words: list[tuple[int, float]], weight: float, limit: int
) -> None:
    owners = {key: key // 4 for key in range(20)}

    found = gathered(dense, words, weight, owners, limit)

    best = [score for _, score in supported(fused(dense, words, weight), owners)]
    assert [score for _, score in found] == pytest.approx(best[:limit])
    assert len({key for key, _ in found}) == len(found)
    assert {key for key, _ in found} <= owners.keys()
