"""Every family goes through torch and the writer bit-equal, and llama.cpp computes what torch computes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gateway.backends.local.gguf import blocks
from gateway.backends.local.gguf.tensors import read_gguf
from offline_jobs.compress.gguf.export import Compressed, quantize_network, write_model
from offline_jobs.compress.gguf.vocabulary import PROBE, proven_pairs
from offline_jobs.compress.measuring.measure import losses_of, tokens_of
from offline_jobs.compress.measuring.perplexity import mean_losses, rounded_inputs
from offline_jobs.compress.methods.grids import Grid
from offline_jobs.compress.source import Source, load_network, open_source
from offline_jobs.errors import JobFailed
from tests.doubles import tiny_families
from tests.doubles.tiny_families import FAMILIES, TEXT

GRIDS = {"llama": Grid(4, 32, searched=False), "qwen3": Grid(4, 32, symmetric=False, searched=False)}
INT8 = Grid(8, 32, searched=False)


def nothing() -> None:
    """No budget."""


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return tiny_families.folder(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def file(folder: Path) -> Path:
    """The model in llama.cpp's form, with a family's grid."""
    source = open_source(folder)
    pairs = proven_pairs(folder, source.pairs, folder, nothing)
    model = Compressed(source, load_network(source))
    quantize_network(model, GRIDS.get(folder.name.rstrip("0123456789"), INT8))
    path = folder / "model.gguf"
    write_model(model, path, pairs)
    return path


def test_a_file_goes_through_torch_and_the_writer_bit_equal(file: Path, tmp_path: Path) -> None:
    source = open_source(file)
    assert source.file is not None
    model = Compressed(source, load_network(source))
    types = {tensor.type for name, tensor in source.file.tensors.items() if "blk" in name} - {blocks.F32}
    grid = {blocks.Q8_0: INT8, blocks.Q4_0: GRIDS["llama"], blocks.Q4_1: GRIDS["qwen3"]}[types.pop()]
    quantize_network(model, grid)
    write_model(model, tmp_path / "again.gguf", source.pairs)
    again = read_gguf(tmp_path / "again.gguf")
    assert set(again.tensors) == set(source.file.tensors)
    for name, tensor in source.file.tensors.items():
        assert np.array_equal(again.tensors[name].data, tensor.data), name


def test_llamacpp_computes_what_torch_computes(file: Path) -> None:
    """The same file in both, with the rounding of llama.cpp's kernels in torch."""
    source = open_source(file)
    network = load_network(source)
    windows = [tokens_of(file, TEXT, nothing).tokens[start : start + 100] for start in (0, 50)]
    model = Compressed(source, network)
    quantize_network(model, INT8 if "Q8_0/32" in _type(source) else GRIDS["llama"])
    with rounded_inputs(network, model.rounded_inputs):
        in_torch = mean_losses(load_back(network, source), windows, nothing)
    in_llamacpp = losses_of(file, windows, nothing)
    assert np.allclose(in_torch, in_llamacpp, rtol=0.01), (in_torch, in_llamacpp)


def _type(source: Source) -> str:
    assert source.file is not None
    return {blocks.Q8_0: "Q8_0/32"}.get(source.file.tensors["blk.0.attn_q.weight"].type, "")


def load_back(network: torch.nn.Module, source: Source) -> torch.nn.Module:
    """The network with exactly the file's weights."""
    with torch.no_grad():
        for name, values in source.weights():
            network.get_parameter(name).copy_(values)
    return network


def test_the_vocabulary_gives_the_folders_own_tokens(folder: Path, file: Path) -> None:
    expected = tiny_families.vocabulary()(PROBE, add_special_tokens=False)["input_ids"]
    assert tokens_of(file, PROBE, nothing).tokens == expected


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    place = tiny_families.folder(tmp_path / "gpt", "llama")
    config = (place / "config.json").read_text().replace('"model_type": "llama"', '"model_type": "gpt_neox"')
    (place / "config.json").write_text(config)
    with pytest.raises(JobFailed, match="type 'gpt_neox' cannot be compressed; those of llama"):
        open_source(place)


def test_a_wrong_digest_is_refused(folder: Path) -> None:
    with pytest.raises(JobFailed, match="fetch the file again"):
        open_source(folder, "0" * 64)


def test_a_truncated_shard_is_refused(tmp_path: Path) -> None:
    place = tiny_families.folder(tmp_path / "cut", "llama")
    shard = place / "model.safetensors"
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(JobFailed, match="damaged or truncated"):
        open_source(place)
