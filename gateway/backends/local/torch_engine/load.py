"""Loads a transformers model from a folder or a GGUF file.

A GGUF file is unpacked once, in half a minute. The result is stored in the data folder and loads in under a second. If
transformers loaded the GGUF file itself, the weights would stay packed and computing would be several times slower.
"""

import hashlib
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, masking_utils
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from gateway.backends.local.torch_engine.model import NAME, TorchNetwork, attention

log = logging.getLogger("foreword.torch")

BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
"""The features of processors that have instructions for bfloat16."""


def load(path: Path, keep: Path, dtype: str, *, int8_cache: bool = False) -> tuple[TorchNetwork, Any]:
    """Load a model and its tokenizer. `keep` is the folder for unpacked models. `dtype` may be `auto`."""
    ALL_ATTENTION_FUNCTIONS.register(NAME, attention)
    # the attention function makes its own masks
    masking_utils.ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, lambda *_, **__: None)
    number_format = best_dtype() if dtype == "auto" else getattr(torch, dtype)
    folder = _unpacked(path, keep, number_format) if path.is_file() else path
    network = AutoModelForCausalLM.from_pretrained(
        folder, dtype=number_format, attn_implementation=NAME, local_files_only=True
    )
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    network.requires_grad_(False)
    return TorchNetwork(network, int8_cache=int8_cache), tokenizer


def best_dtype() -> torch.dtype:
    """Return bfloat16 if this processor has instructions for it, else float32. Emulated bfloat16 is several times
    slower.

    The result depends only on the processor, so that an engine computes the same values after every start.
    """
    has = torch.cpu.get_capabilities()
    return torch.bfloat16 if any(has.get(name) for name in BFLOAT16) else torch.float32


def _unpacked(path: Path, keep: Path, dtype: torch.dtype) -> Path:
    stat = path.stat()
    mark = hashlib.sha256(f"{path.name} {stat.st_size} {stat.st_mtime_ns} {dtype}".encode()).hexdigest()[:12]
    folder = keep / f"{path.stem}-{mark}"
    if folder.is_dir():
        return folder
    log.info("unpacking", extra={"model": path.name})
    keep.mkdir(parents=True, exist_ok=True)
    half = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=keep))
    try:
        _unpack(path, half, dtype)
        half.rename(folder)
    except OSError:
        if not folder.is_dir():  # if the folder exists, another process was faster
            raise
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return folder


def _unpack(path: Path, folder: Path, dtype: torch.dtype) -> None:
    packed = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=dtype, quantization_config=GgufConfig(dequantize=True)
    )
    # transformers does not save models from GGUF files, so the weights go into a new model
    described = {key: value for key, value in packed.config.to_dict().items() if key != "quantization_config"}
    fresh: Any = type(packed)(type(packed.config)(**described))
    fresh.to(dtype)
    fresh.load_state_dict(packed.state_dict())
    fresh.save_pretrained(folder)
    AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name).save_pretrained(folder)
