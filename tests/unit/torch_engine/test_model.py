"""What the engine computes is what transformers computes, however rows are put together."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.backends.local.torch_engine.model import TokenSegment, TorchNetwork
from gateway.backends.local.torch_engine.positions import NATIVE, Variant
from tests.doubles import tiny_llama

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
TOKENS = st.lists(st.integers(0, 96), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def model() -> TorchNetwork:
    return tiny_llama.model()


def alone(model: TorchNetwork, ids: list[int], variant: Variant = NATIVE) -> torch.Tensor:
    """[vocab]: the logits after these tokens, read in one row of its own."""
    block = model.block(1, len(ids), variant)
    return model.forward([TokenSegment(block, torch.tensor([ids]))])[0][0]


@torch.inference_mode()
def by_transformers(ids: list[int], **fields: Any) -> torch.Tensor:
    return torch.as_tensor(tiny_llama.reference(**fields)(torch.tensor([ids]), use_cache=False).logits[0])


def test_all_logits_are_those_of_transformers(model: TorchNetwork) -> None:
    ids = list(range(3, 40))
    block = model.block(1, len(ids))
    (ours,) = model.forward([TokenSegment(block, torch.tensor([ids]), "all")])
    torch.testing.assert_close(ours[0], by_transformers(ids), **CLOSE)


def test_reading_in_pieces_changes_nothing(model: TorchNetwork) -> None:
    ids = list(range(30))
    block = model.block(1, len(ids))
    model.forward([TokenSegment(block, torch.tensor([ids[:11]]), "none")])
    model.forward([TokenSegment(block, torch.tensor([ids[11:29]]), "none")])
    (last,) = model.forward([TokenSegment(block, torch.tensor([ids[29:]]))])
    torch.testing.assert_close(last[0], alone(model, ids), **CLOSE)


@settings(max_examples=40)
@given(prefixes=st.lists(TOKENS, min_size=1, max_size=5), behind=TOKENS, spare=st.integers(0, 5))
def test_rows_of_any_lengths_give_the_logits_that_each_gives_alone(
    prefixes: list[list[int]], behind: list[int], spare: int
) -> None:
    """Filling on the left of the shorter rows, free slots on the right, and one more token after it."""
    model = SHARED
    longest = max(map(len, prefixes)) + spare
    block = model.block(len(prefixes), longest + len(behind) + 3)
    block.end = longest
    for row, ids in enumerate(prefixes):
        own = model.block(1, len(ids))
        model.forward([TokenSegment(own, torch.tensor([ids]), "none")])
        block.load(row, own.row(0))
    (together,) = model.forward([TokenSegment(block, torch.tensor([behind] * len(prefixes)))])
    (after,) = model.forward([TokenSegment(block, torch.full((len(prefixes), 1), 5))])
    for row, ids in enumerate(prefixes):
        torch.testing.assert_close(together[row], alone(model, ids + behind), **CLOSE)
        torch.testing.assert_close(after[row], alone(model, [*ids, *behind, 5]), **CLOSE)


SHARED = tiny_llama.model()


@settings(max_examples=20)
@given(requests=st.lists(TOKENS, min_size=2, max_size=4))
def test_requests_in_one_step_do_not_see_each_other(requests: list[list[int]]) -> None:
    model = SHARED
    variants = [NATIVE, Variant("yarn", 2.0), Variant("self-extend", 3.0), Variant("llama3", 4.0)]
    segments = [
        TokenSegment(model.block(1, len(ids), variant), torch.tensor([ids]))
        for ids, variant in zip(requests, variants, strict=False)
    ]
    for logits, ids, variant in zip(model.forward(segments), requests, variants, strict=False):
        torch.testing.assert_close(logits[0], alone(model, ids, variant), **CLOSE)


def test_rows_can_be_chosen_and_doubled(model: TorchNetwork) -> None:
    block = model.block(2, 6)
    model.forward([TokenSegment(block, torch.tensor([[1, 2, 3], [4, 5, 6]]), "none")])
    block.select(torch.tensor([1, 1, 0]))
    (logits,) = model.forward([TokenSegment(block, torch.tensor([[7], [8], [7]]))])
    for row, ids in enumerate(([4, 5, 6, 7], [4, 5, 6, 8], [1, 2, 3, 7])):
        torch.testing.assert_close(logits[row], alone(model, ids), **CLOSE)


@pytest.mark.parametrize(
    ("variant", "parameters"),
    [
        (Variant("linear", 2.0), {"rope_type": "linear", "factor": 2.0}),
        (Variant("yarn", 4.0), {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}),
        (
            Variant("llama3", 4.0),
            {
                "rope_type": "llama3",
                "factor": 4.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            },
        ),
    ],
)
def test_a_variant_is_what_transformers_makes_of_the_same_wish(
    model: TorchNetwork, variant: Variant, parameters: dict[str, Any]
) -> None:
    ids = [number % 97 for number in range(100)]
    wished = {"rope_theta": 10000.0, **parameters}
    longer = 256 if parameters["rope_type"] != "linear" else 64
    theirs = by_transformers(ids, rope_parameters=wished, max_position_embeddings=longer)[-1]
    torch.testing.assert_close(alone(model, ids, variant), theirs, rtol=1e-3, atol=1e-3)


def test_self_extend_changes_nothing_within_its_near_distance(model: TorchNetwork) -> None:
    ids = [number % 97 for number in range(60)]
    torch.testing.assert_close(alone(model, ids, Variant("self-extend", 4.0)), alone(model, ids), **CLOSE)


def test_a_long_request_leaves_the_next_short_one_as_it_was(model: TorchNetwork) -> None:
    """transformers' own dynamic type fails this."""
    before = alone(model, [1, 2, 3])
    alone(model, [number % 97 for number in range(200)], Variant("ntk", 5.0))
    torch.testing.assert_close(alone(model, [1, 2, 3]), before, rtol=0, atol=0)


def test_a_model_with_sliding_windows_is_refused() -> None:
    network = tiny_llama.reference()
    network.config.layer_types = ["sliding_attention", "full_attention"]
    with pytest.raises(ValueError, match="sliding"):
        TorchNetwork(network)
