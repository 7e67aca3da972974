"""Schemes by name, grids with searched scales, pruning, smoothing, and the gate, on small matrices and models."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gateway.backends.local.gguf.blocks import values
from gateway.backends.local.variants import Perplexities
from offline_jobs.compress.measuring.gate import pass_gate
from offline_jobs.compress.measuring.perplexity import round_input
from offline_jobs.compress.methods.grids import Grid, quantize
from offline_jobs.compress.methods.layers import InputStatistics, LayerFiles, Texts
from offline_jobs.compress.methods.prune import Sparsity, prune, prune_matrix, read_sparsity, zeros_of
from offline_jobs.compress.methods.smooth import smooth
from offline_jobs.compress.schemes import CompressOptions, plan_of
from offline_jobs.errors import JobFailed
from tests.doubles.tiny_llama import reference

ALL_GRIDS = [
    Grid(8, 0),
    Grid(8, 64),
    Grid(4, 32),
    Grid(4, 128),
    Grid(4, 32, symmetric=False),
    Grid(4, 32, nonlinear=True),
]
WINDOWS = [list(range(start, start + 32)) for start in (0, 20, 40, 60)]


def nothing() -> None:
    """No budget."""


def weights(seed: int, rows: int = 8, columns: int = 128) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator)


@settings(max_examples=20)
@given(grid=st.sampled_from(ALL_GRIDS), seed=st.integers(0, 99))
def test_the_files_values_are_exactly_those_of_the_codes(grid: Grid, seed: int) -> None:
    made = quantize(weights(seed), grid)
    assert torch.equal(torch.from_numpy(values(made.coded)), made.values)


@settings(max_examples=20)
@given(grid=st.sampled_from(ALL_GRIDS), seed=st.integers(0, 99))
def test_a_searched_scale_is_never_worse_than_the_largest_value(grid: Grid, seed: int) -> None:
    plain = Grid(grid.bits, grid.group, grid.symmetric, searched=False, nonlinear=grid.nonlinear)
    matrix = weights(seed)
    searched, absmax = (float((quantize(matrix, each).values - matrix).square().sum()) for each in (grid, plain))
    assert searched <= absmax * 1.0001


def test_values_on_the_grid_are_kept_exactly() -> None:
    for grid in ALL_GRIDS:
        once = quantize(weights(3), Grid(grid.bits, grid.group, grid.symmetric, False, grid.nonlinear)).values
        again = quantize(once, grid).values
        assert float((again - once).abs().max()) <= float(once.abs().max()) * 0.02


def test_a_row_of_zeros_stays_zeros() -> None:
    for grid in ALL_GRIDS:
        assert not quantize(torch.zeros(2, 128), grid).values.any()


def test_a_group_that_does_not_divide_falls_back_to_a_smaller_one() -> None:
    assert [Grid(4, 128).group_of(columns) for columns in (1536, 576, 96, 100)] == [128, 64, 32, 0]


def test_inputs_are_rounded_as_the_kernels_round_them() -> None:
    inputs = weights(1, 4, 64)
    rounded = round_input(inputs)
    blocks = inputs.reshape(4, 2, 32)
    step = (blocks.abs().amax(2) / 127)[..., None]
    assert float(((rounded.reshape(4, 2, 32) - blocks).abs() / step).max()) < 0.6


def statistics(matrix: Tensor, seed: int = 5) -> tuple[InputStatistics, Tensor]:
    inputs = weights(seed, 256, matrix.shape[1]) * torch.linspace(0.1, 3, matrix.shape[1])
    # correlated channels, so that an update has something to make good with
    inputs = inputs + inputs.roll(1, 1)
    seen = InputStatistics()
    seen.add(inputs, products=True, sample=8)
    return seen, inputs


@pytest.mark.parametrize("sparsity", [Sparsity(0.5), Sparsity(0.25), Sparsity(two_of_four=True)])
def test_sparsegpt_is_better_than_wanda_and_that_better_than_magnitude(sparsity: Sparsity) -> None:
    errors = {}
    for method in ("sparsegpt", "wanda", "magnitude"):
        matrix = weights(2, 32)
        seen, inputs = statistics(matrix)
        pruned = matrix.clone()
        prune_matrix(pruned, seen, method, sparsity)  # type: ignore[arg-type]
        assert zeros_of([pruned]) == pytest.approx(sparsity.removed, abs=0.01)
        errors[method] = float((inputs @ (pruned - matrix).T).square().sum())
    assert errors["sparsegpt"] < errors["wanda"] < errors["magnitude"]


@pytest.mark.parametrize("method", ["sparsegpt", "wanda", "magnitude"])
def test_two_of_every_four_columns_stay(method: str) -> None:
    matrix = weights(4, 16)
    prune_matrix(matrix, statistics(matrix)[0], method, Sparsity(two_of_four=True))  # type: ignore[arg-type]
    assert (matrix.reshape(16, -1, 4) == 0).sum(2).eq(2).all()


def test_a_model_is_pruned_layer_by_layer_and_a_second_run_takes_the_finished_layers(tmp_path: Path) -> None:
    first, second = reference(), reference()
    done = [number for number, _ in prune(first, WINDOWS, "wanda", Sparsity(0.5), nothing, LayerFiles(tmp_path, "x"))]
    again = list(prune(second, WINDOWS, "magnitude", Sparsity(0.1), nothing, LayerFiles(tmp_path, "x")))
    assert done == [0, 1] and [share for _, share in again] == pytest.approx([0.5, 0.5], abs=0.02)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_layer_by_layer_is_the_whole_model() -> None:
    network = reference()
    texts = Texts(network, WINDOWS[:1])
    for _ in network.model.layers:
        texts.advance(nothing)
    with torch.no_grad():
        whole = network.model(torch.tensor(WINDOWS[:1]), use_cache=False).last_hidden_state[0]
    torch.testing.assert_close(network.model.norm(texts.states[0]), whole, rtol=1e-4, atol=1e-4)


def test_smoothing_changes_weights_and_not_the_function(tmp_path: Path) -> None:
    shape = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2}
    network = reference(**shape)
    with torch.no_grad():
        network.model.layers[0].input_layernorm.weight[3] = 40.0  # an outlier, as large models have
        before = network(torch.tensor(WINDOWS)).logits
        was = network.model.layers[0].self_attn.q_proj.weight.clone()
        alphas = list(smooth(network, WINDOWS, nothing, LayerFiles(tmp_path, "s"), raised=False))
        after = network(torch.tensor(WINDOWS)).logits
    assert alphas[0]["input_layernorm"] >= 0
    assert not torch.equal(network.model.layers[0].self_attn.q_proj.weight, was)
    torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("scheme", "message"),
    [
        ("int3", "there is no scheme 'int3'; there are f16"),
        ("", "there is no scheme"),
        ("gptq", "gptq is not offered; take int4-group, which searches its scales"),
        ("wanda+awq", "awq is not offered"),
        ("int8-channel+int4-group", "exclude each other"),
        ("wanda+sparsegpt", "exclude each other"),
    ],
)
def test_schemes_that_do_not_exist_or_exclude_each_other_are_refused(scheme: str, message: str) -> None:
    with pytest.raises(JobFailed, match=message):
        plan_of(CompressOptions("m.gguf", scheme, "t.txt"))


def test_sparsity_is_a_share_a_percentage_or_two_of_four() -> None:
    assert [read_sparsity(word) for word in ("0.3", "30%", "2:4")] == [
        Sparsity(0.3),
        Sparsity(0.3),
        Sparsity(two_of_four=True),
    ]
    with pytest.raises(ValueError, match="between 0 and 1"):
        read_sparsity("1.5")


BEFORE = Perplexities(10.0, 10.0)


@pytest.mark.parametrize(
    ("after", "changed", "message"),
    [
        (Perplexities(10.5, 10.5), True, r"rises by 5\.0%.* --allow 6 would"),
        (Perplexities(10.1, 10.3), True, "more than 1%"),
        (Perplexities(10.0, 10.0, 10.4), True, r"rises by 4\.0%"),
        (Perplexities(10.0, 10.0), False, "changed nothing"),
        (Perplexities(float("nan"), 10.0), True, "is not finite"),
    ],
)
def test_the_gate_refuses(after: Perplexities, changed: bool, message: str) -> None:
    with pytest.raises(JobFailed, match=message):
        pass_gate(BEFORE, after, 0.03, changed=changed)


def test_the_gate_lets_a_good_variant_pass_and_a_bad_one_that_is_allowed() -> None:
    pass_gate(BEFORE, Perplexities(10.2, 10.25), 0.03, changed=True)
    pass_gate(BEFORE, Perplexities(10.9, 10.9), 0.1, changed=True)


@pytest.mark.parametrize(
    ("scheme", "steps", "together", "expected"),
    [
        ("int4-group+qat", 9, True, (9, True)),
        ("int4-group+qat", 9, False, (0, False)),
        ("int4-group+qat", 0, True, (0, False)),
        ("int4-group+tune+qat", 9, False, (9, False)),
        ("int4-group+tune+qat", 9, True, (9, True)),
    ],
)
def test_steps_count_for_learning_the_text_and_for_all_layers_together(
    scheme: str, steps: int, together: bool, expected: tuple[int, bool]
) -> None:
    plan = plan_of(CompressOptions("m.gguf", scheme, "t.txt", steps=steps, together=together))
    assert (plan.tuning.steps, plan.together) == expected


@pytest.mark.parametrize(
    ("scheme", "options"),
    [("int4-group+tune+qat", {"steps": 0}), ("int4-group+qat", {"together": False, "layer_steps": 0})],
)
def test_a_training_without_steps_is_refused(scheme: str, options: dict[str, int]) -> None:
    with pytest.raises(JobFailed, match="needs steps"):
        plan_of(CompressOptions("m.gguf", scheme, "t.txt", **options))  # type: ignore[arg-type]
