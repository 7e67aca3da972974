"""Opens the model to compress, which is a GGUF file or a folder with safetensors."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gateway.backends.local.gguf.blocks import read_values
from gateway.backends.local.gguf.metadata import NotAModel
from gateway.backends.local.gguf.tensors import GgufFile, Pair, read_gguf
from offline_jobs.compress.gguf import families
from offline_jobs.compress.gguf.families import Family
from offline_jobs.errors import JobFailed

CHUNK = 1 << 22
DIGESTED = (".safetensors", ".json", ".model")


@dataclass(frozen=True)
class Source:
    """An open model. `config` is the configuration for transformers, and `pairs` is the GGUF metadata. Weights are read
    on demand."""

    path: Path
    family: Family
    config: Any
    pairs: Mapping[str, Pair]
    file: GgufFile | None
    factors: Tensor | None = None
    """Llama 3's factors for the rotary frequencies, or None if the model has no such factors."""

    @property
    def head_width(self) -> int:
        return families.head_width_of(self.config)

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield each weight with its transformers name, in float32."""
        yield from self._from_folder() if self.file is None else self._from_gguf(self.file)

    def _from_gguf(self, file: GgufFile) -> Iterator[tuple[str, Tensor]]:
        for tensor in file.tensors.values():
            if tensor.name == families.ROPE_FACTORS:
                continue
            name = self.family.torch_name(tensor.name)
            values = torch.from_numpy(read_values(tensor.type, tensor.data, tensor.shape).copy())
            yield name, self.family.to_torch(name, values, self.head_width)

    def _from_folder(self) -> Iterator[tuple[str, Tensor]]:
        from safetensors import safe_open

        for shard in sorted(self.path.glob("*.safetensors")):
            with safe_open(shard, "pt") as file:
                for name in file.keys():  # noqa: SIM118
                    if name == families.HEAD and self.config.tie_word_embeddings:
                        continue
                    yield name, file.get_tensor(name).float()


def open_source(path: Path, sha256: str = "") -> Source:
    """Open a model.

    Raises `JobFailed` if the model is damaged or unsupported, or if the model's SHA-256 differs from `sha256`. An empty
    `sha256` is not checked.
    """
    if not path.exists():
        raise JobFailed(f"{path} does not exist")
    if sha256 and digest_of(path) != sha256.lower():
        raise JobFailed(f"the SHA-256 of {path} is {digest_of(path)}, not {sha256}; fetch the file again")
    try:
        return _open_folder(path) if path.is_dir() else _open_gguf(path)
    except NotAModel as error:
        raise JobFailed(str(error)) from error


def bytes_in_half(source: Source) -> int:
    """Return the size of the model with matrices in float16 and vectors in float32."""
    return sum(values.numel() * (2 if values.dim() > 1 else 4) for _, values in source.weights())


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file or a folder.

    For a folder, the names and contents of the files with an extension in `DIGESTED` are hashed together.
    """
    whole = hashlib.sha256()
    files = [path] if path.is_file() else sorted(part for part in path.iterdir() if part.suffix in DIGESTED)
    for file in files:
        if path.is_dir():
            whole.update(file.name.encode() + b"\0")
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                whole.update(chunk)
    return whole.hexdigest()


def _open_gguf(path: Path) -> Source:
    file = read_gguf(path)
    architecture = str(file.value("general.architecture", ""))
    family = families.family_of(architecture)
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None:
        raise NotAModel(f"{path} holds no weights")
    tied = "output.weight" not in file.tensors
    config = families.config_of(
        family, lambda key: file.value(f"{architecture}.{key}"), tied=tied, vocabulary=embedding.shape[0]
    )
    held = file.tensors.get(families.ROPE_FACTORS)
    factors = torch.from_numpy(read_values(held.type, held.data, held.shape).copy()) if held else None
    for name in file.tensors:
        if name != families.ROPE_FACTORS:
            family.torch_name(name)
    return Source(path, family, config, file.pairs, file, factors)


def _open_folder(path: Path) -> Source:
    from safetensors import SafetensorError, safe_open
    from transformers import AutoConfig

    from offline_jobs.compress.gguf.vocabulary import vocabulary_pairs

    if not (path / "config.json").is_file():
        raise NotAModel(f"{path} holds no config.json")
    shards = sorted(path.glob("*.safetensors"))
    if not shards:
        raise NotAModel(f"{path} holds no safetensors")
    try:
        config = AutoConfig.from_pretrained(path, local_files_only=True)
        family = families.family_of_type(config.model_type)
        for shard in shards:
            with safe_open(shard, "pt") as file:
                for name in file.keys():  # noqa: SIM118
                    family.gguf_name(name)
    except (SafetensorError, OSError, ValueError) as error:
        raise NotAModel(f"{path} is damaged or truncated: {error}") from error
    pairs = {**families.pairs_of(family, config), **vocabulary_pairs(path, config)}
    return Source(path, family, config, pairs, None, families.rope_factors(config))


def load_network(source: Source) -> Any:
    """Load the model into torch as float32, without gradients. Raises `JobFailed` if weights are missing or have wrong
    shapes."""
    from transformers import AutoModelForCausalLM

    factory: Any = AutoModelForCausalLM
    network = factory.from_config(source.config, dtype=torch.float32, attn_implementation="sdpa")
    held = dict(network.named_parameters())
    missing = set(held)
    with torch.no_grad():
        for name, values in source.weights():
            target = held.get(name)
            if target is None or target.shape != values.shape:
                expected = "no such tensor" if target is None else f"shape {list(target.shape)}"
                raise JobFailed(f"{name} has shape {list(values.shape)}, but the model's config expects {expected}")
            target.copy_(values)
            missing.discard(name)
    if missing:
        raise JobFailed(f"{source.path} lacks {', '.join(sorted(missing)[:3])}")
    if source.factors is not None:
        _stretch(network.model.rotary_emb, source)
    network.requires_grad_(False)
    return network.eval()


def _stretch(rotary: Any, source: Source) -> None:
    """Apply Llama 3's factors to the rotary frequencies. A config made from a GGUF file lacks these factors."""
    assert source.factors is not None
    rope = source.config.rope_parameters
    width = source.head_width
    plain = 1.0 / rope["rope_theta"] ** (torch.arange(0, width, 2).float() / width)
    rotary.inv_freq.copy_(plain / source.factors)
