"""Measures what the masks of the torch engine's attention cost: CPU milliseconds of one layer, best of eight.

    python benchmarks/attention_masks.py

The shapes are those of the default model: the second and the last piece of a prompt, and the question of NBCE behind
passages of different lengths. "linears" are the layer's matrices for the same tokens. Prints a Markdown table.
"""

import sys
import time
from collections.abc import Callable

import click
import torch
import torch.nn.functional as functional

HEADS, WIDTH, HIDDEN, COLUMNS = 9, 64, 576, 3 * 1536 + 2 * 576 + 2 * 192
SHAPES = {"piece behind 256": (1, 256, 256), "piece behind 1,024": (1, 256, 1024), "question, 32 rows": (32, 32, 150)}
PADDING, RUNS = 40, 8


@click.command(help=__doc__)
@torch.inference_mode()
def main() -> None:
    torch.set_num_threads(1)
    sys.stdout.write("| tokens | numbers | masked | without a mask | linears |\n|---|---|--:|--:|--:|\n")
    for dtype in (torch.float32, torch.bfloat16):
        for name, (rows, new, before) in SHAPES.items():
            query = torch.randn(rows, HEADS, new, WIDTH, dtype=dtype)
            keys = torch.randn(rows, HEADS, before + new, WIDTH, dtype=dtype)
            weight, tokens = torch.randn(COLUMNS, HIDDEN, dtype=dtype), torch.randn(rows * new, HIDDEN, dtype=dtype)
            mask = mask_of(rows, new, before)
            times = (
                best(lambda: functional.scaled_dot_product_attention(query, keys, keys, attn_mask=mask)),  # noqa: B023
                best(lambda: functional.scaled_dot_product_attention(query, keys, keys)),  # noqa: B023
                best(lambda: functional.linear(tokens, weight)),  # noqa: B023
            )
            cells = " | ".join(f"{each:.2f}" for each in times)
            sys.stdout.write(f"| {name} | {str(dtype).removeprefix('torch.')} | {cells} |\n")


def mask_of(rows: int, new: int, before: int) -> torch.Tensor:
    slots = torch.arange(before + new)
    causal = slots[None] <= torch.arange(before, before + new)[:, None]
    begins = torch.arange(rows) * PADDING // rows
    return (causal[None] & (slots[None] >= begins[:, None])[:, None])[:, None]


def best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(RUNS + 1):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return 1000 * min(times)


if __name__ == "__main__":
    main()
