"""Measures what keys and values in int8 cost: llama.cpp's perplexity on long windows, and the bytes of a token.

    python benchmarks/int8_cache.py FILE.gguf TEXT [TEXT ...] [--tokens 4096] [--windows 1]

Prints a Markdown table. The windows are the first ones of each text.
"""

import argparse
import math
import sys
from pathlib import Path
from statistics import fmean

from gateway.backends.local.gguf.tensors import GgufFile, bytes_of, read_gguf
from gateway.resources import locate
from offline_jobs.compress.measuring.measure import losses_of, tokens_of

F16, Q8_0 = 1, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("texts", nargs="+", type=Path)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--windows", type=int, default=1)
    options = parser.parse_args()
    path = locate(options.model, Path.cwd())
    kept = [cache_bytes(read_gguf(path), type) for type in (F16, Q8_0)]
    sys.stdout.write(f"bytes a token: f16 {kept[0]:,}, q8_0 {kept[1]:,}, {kept[1] / kept[0]:.2f}\n\n")
    sys.stdout.write("| text | tokens | f16 | q8_0 | rise |\n|---|--:|--:|--:|--:|\n")
    for text in options.texts:
        count = options.windows * options.tokens
        tokens = tokens_of(path, text.read_text("utf-8")[: 16 * count], lambda: None).tokens
        windows = [tokens[at * options.tokens : (at + 1) * options.tokens] for at in range(options.windows)]
        plain, int8 = (
            math.exp(fmean(losses_of(path, windows, lambda: None, cache=cache))) for cache in ("f16", "q8_0")
        )
        sys.stdout.write(f"| {text.name} | {count:,} | {plain:.3f} | {int8:.3f} | {int8 / plain - 1:+.2%} |\n")
        sys.stdout.flush()


def cache_bytes(file: GgufFile, type: int) -> int:
    """Return the bytes of one token's keys and values in all layers."""
    shapes = (
        tensor.shape for name, tensor in file.tensors.items() if name.endswith(("attn_k.weight", "attn_v.weight"))
    )
    return sum(bytes_of(type, (rows,)) for rows, _ in shapes)


if __name__ == "__main__":
    main()
