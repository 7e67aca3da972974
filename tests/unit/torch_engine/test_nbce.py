"""NBCE's formulas on distributions small enough to check by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gateway.backends.local.torch_engine import nbce

ROW = st.lists(st.floats(-8, 8), min_size=5, max_size=5)


def logs(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows).log()


def test_the_tail_is_cut_and_the_rest_not_normalised_again() -> None:
    cut = nbce.truncate(logs([0.6, 0.3, 0.06, 0.04]), 0.85)
    assert cut.exp().tolist()[0] == pytest.approx([0.6, 0.3, 0.0, 0.0])


@given(rows=st.lists(ROW, min_size=1, max_size=4), share=st.floats(0.01, 1))
def test_a_nucleus_holds_its_share_and_never_loses_the_best(rows: list[list[float]], share: float) -> None:
    lp = torch.tensor(rows).log_softmax(-1)
    kept = nbce.truncate(lp, share)
    assert (kept.exp().sum(-1) >= share - 1e-5).all()
    assert (kept.max(-1).values == lp.max(-1).values).all()


@pytest.mark.parametrize("sharpness", [0.1, 8.0], ids=["flat", "peaked"])
def test_a_nucleus_of_a_large_vocabulary_is_found_whatever_its_size(sharpness: float) -> None:
    lp = (sharpness * torch.randn(3, 4000, generator=torch.Generator().manual_seed(0))).log_softmax(-1)
    inside = nbce.truncate(lp, 0.9) > -math.inf
    for row, kept in zip(lp.exp(), inside, strict=True):
        assert row[kept].min() >= row[~kept].max()
        assert row[kept].sum() - row[kept].min() < 0.9 <= row[kept].sum() + 1e-5


def test_a_certain_row_has_no_entropy_and_an_even_one_the_most() -> None:
    entropies = nbce.entropy(logs([1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]))
    assert entropies.tolist() == pytest.approx([0.0, math.log(4)])


def test_who_spoke_last_is_favoured_where_two_are_nearly_as_sure() -> None:
    entropies = torch.tensor([0.50, 0.55])
    assert int(nbce.favoured(entropies, -1, 0.1).argmin()) == 0
    assert int(nbce.favoured(entropies, 1, 0.1).argmin()) == 1
    assert entropies.tolist() == pytest.approx([0.50, 0.55])


def test_a_sure_but_irrelevant_passage_is_no_surer_than_relevant_ones_are() -> None:
    entropies = torch.tensor([0.01, 0.3, 0.6])
    assert int(nbce.capped(entropies, torch.tensor([0.1, 0.8, 0.7])).argmin()) == 1
    assert int(nbce.capped(entropies, torch.tensor([0.7, 0.8, 0.7])).argmin()) == 0


def test_who_explains_the_question_worse_is_doubted_up_to_a_bound() -> None:
    """What is a little less sure is made up for; a passage that is surer by more than the bound still speaks."""
    doubt = nbce.doubt(torch.tensor([-30.0, -26.0, -90.0]), 0.25)
    assert doubt.tolist() == [1.0, 0.0, 2.0]
    assert int((torch.tensor([0.2, 0.7, 0.1]) + doubt).argmin()) == 1
    assert int((torch.tensor([1.5, 2.3, 0.1]) + doubt).argmin()) == 2
    assert nbce.doubt(torch.tensor([-30.0, -28.0]), 0.25).tolist() == [0.5, 0.0]
    assert nbce.doubt(torch.tensor([-30.0, -28.0]), 0.0).tolist() == [0.0, 0.0]


def test_the_surest_passage_speaks_and_what_the_bare_question_would_say_is_taken_off() -> None:
    lp, lp_0 = logs([0.5, 0.5, 0.0], [0.1, 0.9, 0.0]), logs([0.1, 0.9, 0.0])[0]
    mixed, chosen = nbce.min_entropy(lp, lp_0, nbce.entropy(lp), beta=1.0)
    assert chosen == 1
    assert mixed.tolist()[:2] == pytest.approx([math.log(0.1), math.log(0.9)], abs=1e-5)
    assert mixed[2] == -math.inf


def test_without_beta_the_chosen_row_comes_out_as_it_is() -> None:
    lp, lp_0 = logs([0.7, 0.2, 0.1]), logs([0.2, 0.2, 0.6])[0]
    torch.testing.assert_close(nbce.min_entropy(lp, lp_0, nbce.entropy(lp), beta=0.0)[0], lp[0])


def test_the_mean_is_naive_bayes_when_beta_is_one_less_than_the_passages() -> None:
    lp, lp_0 = logs([0.7, 0.2, 0.1], [0.5, 0.1, 0.4]), logs([0.3, 0.3, 0.4])[0]
    mixed, _ = nbce.mean(lp, lp_0, nbce.entropy(lp), beta=1.0)
    torch.testing.assert_close(mixed, lp.sum(0) - lp_0)


def test_each_token_is_its_best_experts_and_relevance_decides_between_equals() -> None:
    lp, lp_0 = logs([0.8, 0.1, 0.1], [0.1, 0.8, 0.1]), logs([1 / 3, 1 / 3, 1 / 3])[0]
    scores, speakers = nbce.expert(lp, lp_0, torch.tensor([0.0, -2.0]), beta=0.25)
    assert int(scores.argmax()) == 0
    assert speakers[:2].tolist() == [0, 1]


def test_an_expert_has_no_say_on_what_it_finds_implausible() -> None:
    """Contrast alone would lift a token that the passage hardly believes in and the question not at all."""
    lp, lp_0 = logs([0.9, 0.05, 0.05]), logs([0.9, 0.1, 1e-9])[0]
    scores, _ = nbce.expert(lp, lp_0, torch.zeros(1), beta=1.0)
    assert scores.tolist() == pytest.approx([math.log(0.9), -math.inf, -math.inf])


def test_what_the_bare_question_rules_out_is_no_evidence_for_a_passage() -> None:
    """The right passage is surer; the other would win by the distance to a tiny prior alone."""
    lp = logs([0.9, 0.05, 0.05], [0.3, 0.1, 0.6])
    lp_0 = nbce.floored(nbce.truncate(logs([0.6, 0.4, 1e-6]))[0])
    scores, speakers = nbce.expert(lp, lp_0, torch.zeros(2), beta=0.25)
    assert (int(scores.argmax()), int(speakers[0])) == (0, 0)


def test_what_the_bare_question_leaves_out_is_no_worse_off_than_what_it_half_believes() -> None:
    """The right passage is surer, of a token just outside of the nucleus; the other's is just inside of it."""
    lp = logs([0.02, 0.08, 0.9], [0.3, 0.6, 0.1])
    lp_0 = nbce.floored(nbce.truncate(logs([0.92, 0.045, 0.035]))[0])
    assert lp_0.exp().tolist() == pytest.approx([0.92, 0.045, 0.045])
    scores, speakers = nbce.expert(lp, lp_0, torch.zeros(2), beta=0.25)
    assert (int(scores.argmax()), int(speakers[2])) == (2, 0)
