"""A cache in int8 takes half the bytes of bfloat16, and hardly changes the logits."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.backends.local.torch_engine import int8
from gateway.backends.local.torch_engine.block import CacheShape, RowBlock
from gateway.backends.local.torch_engine.load import best_dtype
from gateway.backends.local.torch_engine.model import TokenSegment
from tests.doubles import tiny_llama

IDS = list(range(3, 40))


@settings(max_examples=30)
@given(seed=st.integers(0, 999), size=st.floats(1e-2, 1e3))
def test_values_are_kept_within_half_a_step(seed: int, size: float) -> None:
    values = torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(seed)) * size
    back = int8.unpack(int8.pack(values), torch.float32)
    step = values.abs().amax(-1, keepdim=True) / 127
    assert float(((back - values).abs() / step).max()) < 0.6


def test_zeros_stay_zeros() -> None:
    assert not int8.unpack(int8.pack(torch.zeros(1, 8)), torch.float32).any()


def test_the_cache_takes_about_half_the_bytes_of_bfloat16() -> None:
    plain, small = (CacheShape(30, 3, 64, torch.bfloat16, int8=packed) for packed in (False, True))
    assert small.bytes_of(4096) / plain.bytes_of(4096) < 0.55
    assert small.empty(2, 16).nbytes == 2 * small.bytes_of(16)


@pytest.mark.parametrize("pieces", [[37], [20, 17], [30, 1, 1, 5]])
def test_logits_hardly_change_however_a_text_is_read(pieces: list[int]) -> None:
    plain, small = tiny_llama.model(), tiny_llama.model(int8_cache=True)
    logits = []
    for model in (plain, small):
        block = model.block(1, len(IDS))
        start = 0
        for count in pieces:
            ids = torch.tensor([IDS[start : start + count]])
            (last,) = model.forward([TokenSegment(block, ids)])
            start += count
        logits.append(last[0].softmax(-1))
    assert float((logits[0] - logits[1]).abs().max()) < 0.02


def test_a_prefix_is_loaded_into_another_block() -> None:
    shape = CacheShape(2, 2, 8, torch.float32, int8=True)
    one, other = RowBlock(shape, 1, 8), RowBlock(shape, 2, 8)
    one.values.random_(-5, 5)
    one.end, other.end = 4, 6
    other.load(1, one.row(0))
    assert torch.equal(other.values[:, :, 1, :, 2:6], one.values[:, :, 0, :, :4])


def test_the_number_format_is_the_same_at_every_start() -> None:
    assert len({best_dtype() for _ in range(20)}) == 1
