"""Fine-tunes on a grid, with zeros kept, and with sparsity that grows; cuts of channels, heads and layers."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as functional
from safetensors.torch import load_file

from gateway.backends.local.gguf.tensors import read_gguf
from offline_jobs.compress.gguf.export import (
    Compressed,
    linear_names,
    quantize_network,
    write_compressed_tensors,
    write_model,
)
from offline_jobs.compress.gguf.families import family_of
from offline_jobs.compress.gguf.vocabulary import proven_pairs
from offline_jobs.compress.measuring.measure import losses_of, tokens_of
from offline_jobs.compress.measuring.perplexity import mean_losses
from offline_jobs.compress.methods import blocks
from offline_jobs.compress.methods.fake import FakeQuantized
from offline_jobs.compress.methods.grids import Grid, Quantized, limits, quantize
from offline_jobs.compress.methods.layers import LayerFiles, importances
from offline_jobs.compress.methods.prune import Sparsity, prune, zeros_of
from offline_jobs.compress.methods.structured import Cuts, cut, described_shape
from offline_jobs.compress.methods.tune import (
    LayerTuning,
    norms_of,
    tune,
    tune_on_grid,
    tune_sparser,
)
from offline_jobs.compress.source import load_network, open_source
from offline_jobs.errors import JobFailed
from tests.doubles import tiny_families
from tests.doubles.tiny_llama import reference

GRID = Grid(4, 32)
SHAPE = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2}
WINDOWS = [[(start * step) % 97 for step in range(24)] for start in range(3, 9)]
TUNING = LayerTuning(30, 3e-3)
BOTH = LayerTuning(30, 1e-3, layer_steps=60)


def nothing() -> None:
    """No budget."""


def loss(network: torch.nn.Module) -> float:
    return sum(mean_losses(network, WINDOWS, nothing)) / len(WINDOWS)


@torch.no_grad()
def apart(network: Any, original: Any) -> float:
    """Return the divergence of a model's predictions from those of the original, as a mean over tokens."""
    ids = torch.tensor(WINDOWS)
    given, wanted = (functional.log_softmax(each(ids).logits.flatten(0, 1), -1) for each in (network, original))
    return float(functional.kl_div(given, wanted, reduction="batchmean", log_target=True))


@torch.no_grad()
def rounded(grid: Grid) -> Any:
    network = reference(**SHAPE)
    for name in linear_names(network):
        network.get_parameter(name).copy_(quantize(network.get_parameter(name), grid).values)
    return network


@pytest.mark.parametrize("tuning", [LayerTuning(0, 1e-3, layer_steps=60), LayerTuning(30, 3e-3), BOTH])
@pytest.mark.parametrize("grid", [GRID, Grid(4, 32, symmetric=False), Grid(4, 64)])
def test_training_on_the_grid_ends_on_it_and_is_nearer_to_the_original_than_rounding(
    tmp_path: Path, grid: Grid, tuning: LayerTuning
) -> None:
    network, original = reference(**SHAPE), reference(**SHAPE)
    codes = tune_on_grid(network, WINDOWS, grid, tuning, tmp_path / "qat.pt", nothing)
    assert sorted(codes) == sorted(linear_names(network))
    with torch.no_grad():
        for name, made in codes.items():
            assert torch.equal(made.scales, made.scales.half().float())
            assert int(made.codes.min()) >= limits(grid)[0] and int(made.codes.max()) <= limits(grid)[1]
            torch.testing.assert_close(network.get_parameter(name), made.values, rtol=1e-6, atol=1e-6)
            network.get_parameter(name).copy_(made.values)
    assert apart(network, original) < 0.8 * apart(rounded(grid), original)


@pytest.mark.parametrize("kill_at", [30, 100, 170])
def test_a_killed_training_on_the_grid_ends_with_the_same_bytes(tmp_path: Path, kill_at: int) -> None:
    """Killed in the first layer, in the second, and in the training of both together."""
    whole = tune_on_grid(reference(**SHAPE), WINDOWS, GRID, BOTH, tmp_path / "whole.pt", nothing)
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == kill_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune_on_grid(reference(**SHAPE), WINDOWS, GRID, BOTH, tmp_path / "qat.pt", check)
    resumed = tune_on_grid(reference(**SHAPE), WINDOWS, GRID, BOTH, tmp_path / "qat.pt", nothing)
    for name, made in whole.items():
        assert torch.equal(made.codes, resumed[name].codes) and torch.equal(made.scales, resumed[name].scales)


def test_a_finished_layer_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tune_on_grid(reference(**SHAPE), WINDOWS, GRID, BOTH, tmp_path / "qat.pt", nothing)
    monkeypatch.setattr(blocks, "_train", lambda *_: pytest.fail("a layer was trained"))
    tune_on_grid(reference(**SHAPE), WINDOWS, GRID, BOTH, tmp_path / "qat.pt", nothing)


def test_pruned_weights_stay_zero_on_the_grid(tmp_path: Path) -> None:
    network = reference(**SHAPE)
    list(prune(network, WINDOWS, "wanda", Sparsity(two_of_four=True), nothing, LayerFiles(tmp_path, "p")))
    codes = tune_on_grid(network, WINDOWS, GRID, BOTH, tmp_path / "qat.pt", nothing)
    assert all((made.codes.reshape(-1, 4) == 0).sum(1).ge(2).all() for made in codes.values())


@pytest.mark.parametrize("grid", [GRID, Grid(4, 32, symmetric=False), Grid(8, 0)])
def test_gradients_are_those_of_a_rounding_that_is_ignored(grid: Grid) -> None:
    weight = torch.nn.Parameter(torch.randn(6, 64, generator=torch.Generator().manual_seed(1)))
    made = quantize(weight.detach(), grid)
    learned = FakeQuantized(Quantized(grid, made.codes, (made.scales * 0.8).half().float(), made.least))
    towards = torch.randn(6, 64, generator=torch.Generator().manual_seed(2))
    (learned(weight) * towards).sum().backward()

    scale, least = learned.unit.clone().requires_grad_(), learned.least
    low = None if least is None else least.detach().clone().requires_grad_()
    other = weight.detach().clone().requires_grad_()
    groups = other.reshape(*scale.shape, -1)
    inside = ((groups if low is None else groups - low[..., None]) / scale[..., None]).clamp(*limits(grid))
    values = (inside + (inside.round() - inside).detach()) * scale[..., None]
    values = values if low is None else values + low[..., None]
    (values.reshape(6, 64) * towards).sum().backward()
    torch.testing.assert_close(weight.grad, other.grad)
    assert learned.scale.grad is not None and scale.grad is not None
    torch.testing.assert_close(learned.scale.grad, scale.grad * learned.unit, rtol=1e-4, atol=1e-5)
    if low is not None:
        assert least is not None
        torch.testing.assert_close(least.grad, low.grad, rtol=1e-4, atol=1e-5)


def test_a_rounded_weight_keeps_nothing_in_memory_but_its_values() -> None:
    weight = torch.nn.Parameter(torch.randn(64, 128, generator=torch.Generator().manual_seed(1)))
    rounding = FakeQuantized(quantize(weight.detach(), GRID))
    bytes_of: dict[int, int] = {}

    def keep(saved: torch.Tensor) -> torch.Tensor:
        bytes_of[saved.data_ptr()] = saved.numel() * saved.element_size()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        values = rounding(weight)
        out = torch.ones(2, 128) @ values.T
    bytes_of.pop(weight.data_ptr())
    assert sum(bytes_of.values()) < 1.5 * weight.numel() * weight.element_size()
    out.square().sum().backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None and weight.grad.any()


def test_a_fine_tune_keeps_zeros_and_recovers(tmp_path: Path) -> None:
    network = reference(**SHAPE)
    list(prune(network, WINDOWS, "wanda", Sparsity(two_of_four=True), nothing, LayerFiles(tmp_path, "p")))
    before = loss(network)
    tune(network, WINDOWS, TUNING, tmp_path / "tune.pt", nothing)
    matrices = [network.get_parameter(name) for name in linear_names(network)]
    assert zeros_of(matrices) == pytest.approx(0.5, abs=0.01)
    assert all((matrix.reshape(-1, 4) == 0).sum(1).ge(2).all() for matrix in matrices)
    assert loss(network) < before


@pytest.mark.parametrize("sparsity", [Sparsity(0.5), Sparsity(two_of_four=True)])
def test_sparsity_grows_to_its_goal(tmp_path: Path, sparsity: Sparsity) -> None:
    network = reference(**SHAPE)
    names = linear_names(network)
    norms = norms_of(importances(network, WINDOWS, nothing), names)
    tune_sparser(network, WINDOWS, TUNING, tmp_path / "tune.pt", nothing, sparsity, norms)
    assert zeros_of(network.get_parameter(name) for name in names) == pytest.approx(0.5, abs=0.02)


def test_a_killed_fine_tune_resumes_at_its_last_checkpoint(tmp_path: Path) -> None:
    """The same weights as without the kill."""
    whole, killed, resumed = reference(**SHAPE), reference(**SHAPE), reference(**SHAPE)
    tune(whole, WINDOWS, TUNING, tmp_path / "whole.pt", nothing)
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(killed, WINDOWS, TUNING, tmp_path / "tune.pt", check)
    calls.clear()
    tune(resumed, WINDOWS, TUNING, tmp_path / "tune.pt", check)
    assert len(calls) == 10  # steps 21 to 30
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_finished_fine_tune_is_not_repeated(tmp_path: Path) -> None:
    once, again = reference(**SHAPE), reference(**SHAPE)
    tune(once, WINDOWS, TUNING, tmp_path / "tune.pt", nothing)
    tune(again, WINDOWS, TUNING, tmp_path / "tune.pt", lambda: pytest.fail("a step was taken"))
    for one, other in zip(once.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("cuts", "architecture"),
    [
        (Cuts(channels=0.25, uneven=False), "llama"),
        (Cuts(channels=0.3), "deci"),
        (Cuts(channels=0.0, heads=0.5), "llama"),
        (Cuts(channels=0.25, heads=0.5, layers=1), "deci"),
    ],
)
def test_llamacpp_computes_what_torch_computes_after_a_cut(tmp_path: Path, cuts: Cuts, architecture: str) -> None:
    torch.set_num_threads(1)
    folder = tiny_families.folder(tmp_path / "tiny", "llama", intermediate_size=256, num_hidden_layers=3)
    source = open_source(folder)
    network = load_network(source)
    with torch.no_grad():
        network.model.layers[0].mlp.down_proj.weight[:, :160] *= 0.01  # so that layers lose different numbers
    pairs = proven_pairs(folder, source.pairs, tmp_path, nothing)
    windows = [list(range(40, 80)), list(range(90, 130))]
    shape = cut(network, windows, cuts, source.family, nothing)
    model = Compressed(source, network)
    file = tmp_path / "cut.gguf"
    write_model(model, file, described_shape(pairs, "llama", shape, source.head_width))
    assert read_gguf(file).value("general.architecture") == architecture
    windows = [tokens_of(file, tiny_families.TEXT, nothing).tokens[:100]]
    assert losses_of(file, windows, nothing) == pytest.approx(mean_losses(network, windows, nothing), rel=0.005)


def test_other_families_are_cut_evenly() -> None:
    network = reference(**SHAPE)
    with torch.no_grad():
        network.model.layers[0].mlp.down_proj.weight[:, :64] *= 0.01
    assert cut(network, WINDOWS, Cuts(0.5), family_of("qwen2"), nothing).even


def test_all_layers_cannot_be_cut() -> None:
    with pytest.raises(JobFailed, match="2 of 2 layers cannot be cut"):
        cut(reference(**SHAPE), WINDOWS, Cuts(layers=2), family_of("llama"), nothing)


def test_the_rounded_model_is_the_exported_one(tmp_path: Path) -> None:
    """After training on the grid, nothing is rounded a second time."""
    folder = tiny_families.folder(tmp_path / "tiny", "llama")
    source = open_source(folder)
    network = load_network(source)
    windows = [list(range(40, 80))]
    codes = tune_on_grid(network, windows, GRID, LayerTuning(3, 1e-3), tmp_path / "qat.pt", nothing)
    model = Compressed(source, network)
    model.quantized.update(codes)
    quantize_network(model, GRID)
    assert all(model.quantized[name] is made for name, made in codes.items())
    assert json.loads((folder / "config.json").read_text())["model_type"] == "llama"


@pytest.mark.parametrize("grid", [Grid(4, 32), Grid(8, 32), Grid(8, 0)])
def test_the_safetensors_hold_the_codes_of_the_file(tmp_path: Path, grid: Grid) -> None:
    """Eight or four codes in an int32, the first in the lowest bits; int8 with a scale a row is not packed."""
    source = open_source(tiny_families.folder(tmp_path / "tiny", "llama"))
    model = Compressed(source, load_network(source))
    quantize_network(model, grid)
    write_compressed_tensors(model, tmp_path / "out")
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    name = "model.layers.1.mlp.down_proj"
    made = model.quantized[f"{name}.weight"]
    if grid.bits == 8 and not grid.group:
        codes = tensors[f"{name}.weight"].to(torch.int64)
    else:
        words = tensors[f"{name}.weight_packed"].to(torch.int64) & 0xFFFFFFFF
        raised = (words[..., None] >> torch.arange(0, 32, grid.bits)) & ((1 << grid.bits) - 1)
        codes = raised.flatten(1) - (1 << grid.bits - 1)
    assert torch.equal(codes, made.codes.to(torch.int64))
    assert tensors[f"{name}.weight_scale"].shape == made.scales.shape
    settings = json.loads((tmp_path / "out" / "config.json").read_text())["quantization_config"]
    weights = settings["config_groups"]["group_0"]["weights"]
    assert (settings["format"] == "int-quantized") == (grid == Grid(8, 0))
    assert (weights["num_bits"], weights["strategy"]) == (grid.bits, "group" if grid.group else "channel")
    assert (tmp_path / "out" / "tokenizer.json").is_file()


def test_an_asymmetric_grid_has_no_safetensors(tmp_path: Path) -> None:
    source = open_source(tiny_families.folder(tmp_path / "tiny", "llama"))
    model = Compressed(source, load_network(source))
    quantize_network(model, Grid(4, 32, symmetric=False))
    with pytest.raises(JobFailed, match="symmetric int8 and int4"):
        write_compressed_tensors(model, tmp_path / "out")
