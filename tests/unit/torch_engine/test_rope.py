"""Stretched positions: what each method promises about a model's frequencies."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gateway.backends.local.torch_engine import rope

TRAINED = 8192
THETA = 100000.0 ** (-torch.arange(32, dtype=torch.float32) / 32)


def test_ntk_is_a_change_of_base() -> None:
    base = 100000.0 * 3.0 ** (64 / 62)
    torch.testing.assert_close(rope.ntk(THETA, 3.0), base ** (-torch.arange(32, dtype=torch.float32) / 32))


@given(factor=st.floats(1.1, 16))
def test_fast_pairs_stay_slow_ones_are_interpolated_and_none_leaves_the_range_between(factor: float) -> None:
    for stretched in (rope.yarn(THETA, factor, TRAINED)[0], rope.llama3(THETA, factor, TRAINED)):
        assert stretched[0] == pytest.approx(float(THETA[0]))
        assert stretched[-1] == pytest.approx(float(THETA[-1]) / factor)
        assert (stretched <= THETA * 1.00001).all()
        assert (stretched >= THETA / factor * 0.99999).all()


def test_yarn_warms_attention() -> None:
    assert rope.yarn(THETA, 4.0, TRAINED)[1] == pytest.approx(0.1 * math.log(4) + 1)
    assert rope.yarn(THETA, 1.0, TRAINED)[1] == 1.0


def test_linear_interpolation_is_a_division_of_positions() -> None:
    at = torch.tensor([0, 5, 9000])
    for one, other in zip(
        rope.cos_sin(rope.linear(THETA, 2.0), 1.0, at), rope.cos_sin(THETA, 1.0, at / 2), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_longrope_divides_each_pair_by_its_own_number() -> None:
    divisors = torch.linspace(1, 8, 32)
    stretched, scale = rope.longrope(THETA, divisors, 4 * TRAINED, TRAINED)
    torch.testing.assert_close(stretched * divisors, THETA)
    assert scale == pytest.approx(math.sqrt(1 + math.log(4) / math.log(TRAINED)))


def test_self_extend_sees_near_keys_where_they_are_and_far_ones_nearer() -> None:
    q, k = torch.randn(1, 1, 64), torch.randn(1, 40, 64)
    at, keys = torch.tensor([39]), torch.arange(40)
    scores = rope.self_extend(q, k, THETA, at, keys, window=8, group=4)
    plain = rope.rotate(q, THETA, at) @ rope.rotate(k, THETA, keys).transpose(-1, -2)
    torch.testing.assert_close(scores[..., 32:], plain[..., 32:])
    # key 3 stands 36 back, which becomes 39 // 4 + 8 - 2 - 0
    moved = rope.rotate(q, THETA, torch.tensor([15])) @ rope.rotate(k[:, 3:4], THETA, torch.tensor([0])).transpose(1, 2)
    torch.testing.assert_close(scores[..., 3:4], moved)


def test_no_key_ahead_is_seen() -> None:
    scores = rope.self_extend(
        torch.randn(1, 4, 64), torch.randn(1, 4, 64), THETA, torch.arange(4), torch.arange(4), 2, 2
    )
    assert torch.isinf(scores).tolist() == [[[False] * (row + 1) + [True] * (3 - row) for row in range(4)]]
