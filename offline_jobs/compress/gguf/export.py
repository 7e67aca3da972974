"""Writes a compressed model as a GGUF file. Quantized matrices are written as codes. All other tensors are copied."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gateway.backends.local.gguf import blocks
from gateway.backends.local.gguf.blocks import F16, F32, Q8_0
from gateway.backends.local.gguf.tensors import Pair, TensorSpec, number, write_gguf
from offline_jobs.compress.gguf import families
from offline_jobs.compress.gguf.families import EMBEDDING, HEAD
from offline_jobs.compress.methods.grids import Grid, Quantized, quantize
from offline_jobs.compress.source import Source
from offline_jobs.errors import JobFailed

INPUTS = {"num_bits": 8, "type": "int", "symmetric": True, "dynamic": True, "strategy": "token"}
"""How vLLM rounds the inputs of matrices with int8 weights: with a scale for each token."""
FILE_TYPES = {F16: 1, blocks.Q4_0: 2, blocks.Q4_1: 3, Q8_0: 7, blocks.IQ4_NL: 25}
"""The value of `general.file_type`, by the GGUF type of most tensors."""
EMBEDDING_GRID = Grid(8, blocks.BLOCK, searched=False)


@dataclass
class Compressed:
    """A model whose weights were changed in torch.

    `quantized` holds the codes of each matrix, by the matrix's name in transformers. The network holds the dequantized
    values of these codes.
    """

    source: Source
    network: Any
    quantized: dict[str, Quantized] = field(default_factory=dict)
    grid: Grid | None = None

    @property
    def rounded_inputs(self) -> list[str]:
        """The transformers names of the linear layers whose inputs llama.cpp rounds."""
        names = [name.removesuffix(".weight") for name in self.quantized if name != EMBEDDING]
        return [*names, "lm_head"] if EMBEDDING in self.quantized and HEAD not in self._names else names

    @property
    def _names(self) -> set[str]:
        return {name for name, _ in self.network.named_parameters()}

    def tensor_types(self) -> dict[str, str]:
        """Return the type and the group size of each tensor, by the tensor's GGUF name, for the manifest."""
        shown = {}
        for spec, name in self.specs():
            held = self.quantized.get(name)
            group = f"/{held.codes.shape[1] // held.scales.shape[1]}" if held else ""
            shown[spec.name] = blocks.NAMES[spec.type] + group
        return shown

    def specs(self) -> Iterator[tuple[TensorSpec, str]]:
        """Yield each tensor of the file, with the tensor's name in transformers."""
        for name, values in self.network.named_parameters():
            held = self.quantized.get(name)
            type = held.grid.type if held else (F16 if values.dim() > 1 else F32)
            yield TensorSpec(self.source.family.gguf_name(name), tuple(values.shape), type), name
        if self.source.factors is not None:
            yield TensorSpec(families.ROPE_FACTORS, tuple(self.source.factors.shape), F32), ""

    @property
    def bytes(self) -> int:
        return sum(spec.bytes for spec, _ in self.specs())


def linear_names(network: Any) -> list[str]:
    """Find all linear layers except the head. Returns the transformers names of their weights."""
    return [
        f"{name}.weight"
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and name != "lm_head"
    ]


@torch.no_grad()
def quantize_network(model: Compressed, grid: Grid, importance: Mapping[str, Tensor] | None = None) -> list[str]:
    """Quantize the network in place: linear layers to `grid`, the embedding and the head to int8 in groups of 32.

    Matrices that already have codes are not changed. A matrix whose columns cannot be divided into groups stays in
    float16. Returns the names of the matrices that stay in float16.
    """
    plain = []
    parameters = dict(model.network.named_parameters())
    for name in linear_names(model.network):
        if name in model.quantized:
            continue
        if not grid.group_of(parameters[name].shape[1]):
            plain.append(name)
            continue
        hold(model, name, quantize(parameters[name], grid, (importance or {}).get(name)))
    for name in (EMBEDDING, HEAD):
        if name in parameters and parameters[name].shape[1] % blocks.BLOCK == 0:
            hold(model, name, quantize(parameters[name], EMBEDDING_GRID))
    model.grid = grid
    return plain


@torch.no_grad()
def hold(model: Compressed, name: str, quantized: Quantized) -> None:
    """Store the codes of a matrix and write the dequantized values into the network."""
    model.quantized[name] = quantized
    model.network.get_parameter(name).copy_(quantized.values)


def round_to_half(network: Any) -> None:
    """Round every matrix to float16, because the file stores unquantized matrices in float16."""
    with torch.no_grad():
        for values in network.parameters():
            if values.dim() > 1:
                values.copy_(values.half().float())


def write_model(model: Compressed, path: Path, pairs: Mapping[str, Pair]) -> None:
    """Write the model as a GGUF file. Raises `OSError` if the disk is full."""
    specs = list(model.specs())
    kind = FILE_TYPES[model.grid.type if model.grid and model.quantized else F16]
    described = {**pairs, "general.file_type": number(kind)}
    write_gguf(path, described, [spec for spec, _ in specs], (_raw(model, *each) for each in specs))


def _raw(model: Compressed, spec: TensorSpec, name: str) -> NDArray[Any]:
    source = model.source
    if not name:
        assert source.factors is not None
        return blocks.plain(F32, source.factors.numpy())

    def turn(values: Tensor) -> Tensor:
        return source.family.to_gguf(name, values, source.head_width)

    held = model.quantized.get(name)
    if held is not None:
        return blocks.packed(held.map_rows(turn).coded)
    values = turn(model.network.get_parameter(name).detach())
    return blocks.plain(spec.type, np.ascontiguousarray(values.numpy(), np.float32))


def write_compressed_tensors(model: Compressed, folder: Path) -> None:
    """Write safetensors in the format `compressed-tensors`, for vLLM. Codes and scales are those of the GGUF file.

    Raises `JobFailed` if the grid is asymmetric or not evenly spaced.
    """
    from safetensors.torch import save_file

    grid = model.grid
    if grid is None or not grid.symmetric or grid.nonlinear:
        raise JobFailed("compressed-tensors is written for symmetric int8 and int4 schemes")
    tensors: dict[str, Tensor] = {}
    for name, values in model.network.state_dict().items():
        held = model.quantized.get(name)
        if name == HEAD and model.source.config.tie_word_embeddings:
            continue
        if held is None or name in (EMBEDDING, HEAD):
            tensors[name] = values.to(torch.bfloat16).contiguous()
        else:
            tensors.update(_coded_tensors(name.removesuffix(".weight"), held))
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = model.network.config.to_dict() | {"torch_dtype": "bfloat16", "dtype": "bfloat16"}
    config["architectures"] = [type(model.network).__name__]
    config["quantization_config"] = _quantization(model, grid)
    (folder / "config.json").write_text(json.dumps(config, indent=1, default=str))
    _write_tokenizer(model.source, folder)


def _coded_tensors(name: str, held: Quantized) -> dict[str, Tensor]:
    """Return the codes as int8 numbers if `_is_w8a8`. Otherwise, pack unsigned codes into int32 numbers, the first code
    into the lowest bits.
    """
    if _is_w8a8(held.grid):
        return {
            f"{name}.weight": held.codes.to(torch.int8).contiguous(),
            f"{name}.weight_scale": held.scales.to(torch.bfloat16).contiguous(),
        }
    bits = held.grid.bits
    rows, columns = held.codes.shape
    raised = (held.codes.to(torch.int64) + (1 << bits - 1)).reshape(rows, -1, 32 // bits)
    words = (raised << torch.arange(0, 32, bits)).sum(2)
    signed = torch.where(words >= 1 << 31, words - (1 << 32), words).to(torch.int32)
    return {
        f"{name}.weight_packed": signed.contiguous(),
        f"{name}.weight_scale": held.scales.to(torch.bfloat16).contiguous(),
        f"{name}.weight_shape": torch.tensor([rows, columns]),
    }


def _is_w8a8(grid: Grid) -> bool:
    """Return whether vLLM computes with int8 activations, as llama.cpp does. It does so for scales of whole rows.

    vLLM for processors has no kernel for int8 weights beside other activations.
    """
    return grid.bits == 8 and not grid.group


def _quantization(model: Compressed, grid: Grid) -> dict[str, Any]:
    """Return one config group for each group size. A group lists the layers whose codes have this group size."""
    groups: dict[int, list[str]] = {}
    for name, held in model.quantized.items():
        if name not in (EMBEDDING, HEAD):
            size = held.codes.shape[1] // held.scales.shape[1] if grid.group else 0
            groups.setdefault(size, []).append(name.removesuffix(".weight"))
    plain = [name.removesuffix(".weight") for name in linear_names(model.network) if name not in model.quantized]
    return {
        "quant_method": "compressed-tensors",
        "format": "int-quantized" if _is_w8a8(grid) else "pack-quantized",
        "quantization_status": "compressed",
        "ignore": ["lm_head", *plain],
        "config_groups": {
            f"group_{place}": {
                "targets": _targets(groups, size),
                "weights": _scale_settings(grid, size),
                "input_activations": INPUTS if _is_w8a8(grid) else None,
            }
            for place, (size, names) in enumerate(groups.items())
        },
    }


def _targets(groups: dict[int, list[str]], size: int) -> list[str]:
    return groups[size] if len(groups) > 1 else ["Linear"]


def _scale_settings(grid: Grid, size: int) -> dict[str, Any]:
    shared = {"num_bits": grid.bits, "type": "int", "symmetric": True, "dynamic": False}
    return {**shared, "strategy": "group", "group_size": size} if size else {**shared, "strategy": "channel"}


def _write_tokenizer(source: Source, folder: Path) -> None:
    from transformers import AutoTokenizer

    file = {"gguf_file": source.path.name} if source.file is not None else {}
    place = source.path.parent if source.file is not None else source.path
    AutoTokenizer.from_pretrained(place, local_files_only=True, **file).save_pretrained(folder)
