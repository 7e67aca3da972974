"""Estimates the disk space, memory and time of a compression, and checks that disk and memory are large enough."""

import shutil
import time
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.backends.local.gguf import blocks
from gateway.backends.local.gguf.tensors import bytes_of
from offline_jobs.compress.gguf import families
from offline_jobs.compress.schemes import CompressOptions, Plan
from offline_jobs.errors import JobFailed

MEMORY = Path("/proc/meminfo")
FLOAT32 = 4
SPARE = 1.15
PASSES = {"smooth": 2.0, "magnitude": 0.0, "wanda": 2.0, "sparsegpt": 2.0}
"""How many times each method reads the calibration text."""


class Forecast(Struct, frozen=True):
    """The estimated sizes and time of a compression."""

    parameters: int
    bytes: int
    bytes_f16: int
    memory_bytes: int
    disk_bytes: int
    seconds: float

    def __str__(self) -> str:
        mb = 1 << 20
        return (
            f"{self.parameters / 1e6:,.1f} million weights; about {self.bytes / mb:,.0f} MB instead of "
            f"{self.bytes_f16 / mb:,.0f} MB in float16; needs {self.memory_bytes / mb:,.0f} MB of memory, "
            f"{self.disk_bytes / mb:,.0f} MB of disk and about {self.seconds / 60:,.1f} minutes"
        )


def forecast(config: Any, plan: Plan, options: CompressOptions) -> Forecast:
    """Estimate the sizes from the model's config, and the time from a multiplication that is timed on this machine."""
    matrices, embedding = _matrices(config), (config.vocab_size, config.hidden_size)
    copies = 1 if config.tie_word_embeddings else 2
    weights = sum(rows * columns for rows, columns in matrices) + embedding[0] * embedding[1] * copies
    f16 = 2 * weights
    size = sum(_bytes(plan, shape) for shape in matrices) + copies * _bytes_of_embedding(plan, embedding)
    layers = _bytes_of_layers(matrices) * ((plan.smooth or bool(plan.prune)) + plan.qat)
    return Forecast(
        parameters=weights,
        bytes=size,
        bytes_f16=f16,
        memory_bytes=int(weights * FLOAT32 * SPARE * _copies(plan) + _states(config, plan, options) + 256 * (1 << 20)),
        disk_bytes=int((size + layers + f16 + (weights * FLOAT32 * 3 if plan.tuning.steps else 0)) * SPARE),
        seconds=_seconds(weights, plan, options),
    )


def _copies(plan: Plan) -> int:
    """Return how many times the float32 weights must fit into the memory.

    Training holds gradients, AdamW's two averages, masks, and what a window of 512 tokens leaves for the gradients:
    SmolLM2-135M took 4.6 GB. Training on a grid also holds the rounded weights.
    """
    if not plan.tuning.steps:
        return 2 if plan.qat else 1
    return 10 if plan.together else 7


def _states(config: Any, plan: Plan, options: CompressOptions) -> int:
    """Return the bytes of the hidden states, while layers are trained beside those of the full-precision model."""
    windows = max(plan.tuning.steps, plan.tuning.layer_steps) + plan.tuning.layer_steps
    return windows * options.window_tokens * config.hidden_size * FLOAT32 if plan.qat else 0


def _matrices(config: Any) -> list[tuple[int, int]]:
    width, head = config.hidden_size, families.head_width_of(config)
    q, kv, inner = config.num_attention_heads * head, config.num_key_value_heads * head, config.intermediate_size
    layer = [(q, width), (kv, width), (kv, width), (width, q), (inner, width), (inner, width), (width, inner)]
    return layer * int(config.num_hidden_layers)


def _bytes(plan: Plan, shape: tuple[int, int]) -> int:
    grid = plan.grid
    return bytes_of(grid.type if grid and grid.group_of(shape[1]) else blocks.F16, shape)


def _bytes_of_embedding(plan: Plan, shape: tuple[int, int]) -> int:
    return bytes_of(blocks.Q8_0 if plan.grid and shape[1] % blocks.BLOCK == 0 else blocks.F16, shape)


def _bytes_of_layers(matrices: list[tuple[int, int]]) -> int:
    return sum(rows * columns for rows, columns in matrices) * FLOAT32


def _seconds(weights: int, plan: Plan, options: CompressOptions) -> float:
    import torch

    size = 1024
    a = torch.ones(size, size)
    a @ a
    began = time.process_time()
    a @ a
    each_s = max(time.process_time() - began, 1e-4) / size**3  # seconds for one multiply-add
    calibrating = options.windows * (sum(PASSES.get(word, 0.0) for word in (plan.prune, "smooth" * plan.smooth)) + 1)
    # four evaluations: in torch and in llama.cpp, before and after; torch and llama.cpp take about equally long
    evaluating = options.evaluated * 4
    # 3.5 stands for the forward pass, the backward pass and the update of the weights. Layers that are trained by
    # themselves also read the text with full and with rounded weights, and have no head
    both = plan.tune and plan.together
    learning = plan.tuning.steps * 3.5 * (1 + both) + plan.tuning.layer_steps * (3.5 + 2)
    reading = (calibrating + evaluating + learning) * options.window_tokens * weights * each_s
    searching = weights * 1.2e-6 if plan.grid and plan.grid.searched else weights * 1e-7
    updating = weights * 5e-7 if plan.prune == "sparsegpt" else 0.0
    return reading + searching + updating + 20


def look_for_room(expected: Forecast, folder: Path) -> None:
    """Raise `JobFailed` if the disk space or the memory is too small."""
    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < expected.disk_bytes:
        raise JobFailed(f"the disk at {place} has {free >> 20:,} MB free; {expected.disk_bytes >> 20:,} MB are needed")
    available = _available()
    if available and available < expected.memory_bytes:
        raise JobFailed(f"{available >> 20:,} MB of memory are free; {expected.memory_bytes >> 20:,} MB are needed")


def _available() -> int:
    """Return the available memory in bytes, or 0 if the operating system does not report it."""
    if not MEMORY.exists():
        return 0
    lines = dict(line.split(":", 1) for line in MEMORY.read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) << 10 if "MemAvailable" in lines else 0
