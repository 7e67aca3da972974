"""Compares int4 by llm-compressor's GPTQ and AWQ with our rounding to searched scales, on weights off the 4-bit grid.

    python benchmarks/gptq.py ours --calibrate wikitext2/valid.txt --evaluate novel.txt --out model.pt
    OTHER/bin/python benchmarks/gptq.py theirs --out model.pt [--methods gptq,gptq-mse,awq]

llm-compressor needs another version of transformers, so the second command runs in an environment of its own
(`python -m venv OTHER; OTHER/bin/pip install torch llmcompressor`). All are symmetric with a scale for each 32 columns;
only the weights of linear layers are rounded, so that the figures differ from those of a whole variant. Prints
perplexities and the CPU seconds of each method.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

WINDOW, GROUP = 512, 32
SCALES = {"gptq": "memoryless_minmax", "gptq-mse": "memoryless_mse", "awq": "memoryless_mse"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("who", choices=("ours", "theirs"))
    parser.add_argument("--calibrate", type=Path)
    parser.add_argument("--evaluate", type=Path)
    parser.add_argument("--calibrating", type=int, default=8)
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--methods", default="gptq,gptq-mse")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.who == "ours":
        torch.save(ours(options), options.out)
        return
    held = torch.load(options.out)
    for name in ("source", *held["ours"]):
        network = loaded(held, held["ours"].get(name, {}))
        say(name, perplexity(network, held["evaluate"]), held["seconds"].get(name, 0.0))
    for method in options.methods.split(","):
        with tempfile.TemporaryDirectory() as folder:
            network = from_folder(loaded(held, {}), folder)
            began = time.process_time()
            theirs(network, held["calibrate"], method)
            took = time.process_time() - began
            say(f"llm-compressor {method}", perplexity(network, held["evaluate"]), took)


@torch.no_grad()
def ours(options: Any) -> dict[str, Any]:
    """Return the model off the grid, the windows, and the weights that we round with their CPU seconds."""
    from compress import MODEL, changed, read

    from gateway.resources import locate
    from offline_jobs.compress.gguf.export import linear_names
    from offline_jobs.compress.methods.grids import Grid, quantize
    from offline_jobs.compress.methods.layers import importances
    from offline_jobs.compress.source import open_source

    options.training = 0
    source = open_source(locate(MODEL, Path()))
    windows, network = read(options, source), changed(source, "off-grid")
    results, seconds = {}, {}
    for name, searched in (("largest value", False), ("searched scales", True)):
        began = time.process_time()
        weights = importances(network, windows.calibrate, lambda: None) if searched else {}
        grid = Grid(4, GROUP, searched=searched)
        results[name] = {
            each: quantize(network.get_parameter(each), grid, weights.get(each)).values
            for each in linear_names(network)
        }
        seconds[name] = time.process_time() - began
    return {
        "config": source.config.to_dict(),
        "state": network.state_dict(),
        "calibrate": windows.calibrate,
        "evaluate": windows.evaluate,
        "ours": results,
        "seconds": seconds,
    }


def loaded(held: dict[str, Any], changes: dict[str, Any]) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    network = LlamaForCausalLM(LlamaConfig(**held["config"])).float().eval()
    network.load_state_dict({**held["state"], **changes})
    return network.requires_grad_(False)


def from_folder(network: Any, folder: str) -> Any:
    """Return the same model, read from a folder, since llm-compressor reads the configuration there again."""
    network.save_pretrained(folder)
    return type(network).from_pretrained(folder, dtype=torch.float32).eval()


def theirs(network: Any, windows: list[list[int]], method: str) -> None:
    from datasets import Dataset
    from llmcompressor import oneshot
    from llmcompressor.modifiers.gptq import GPTQModifier
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.awq import AWQModifier
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    scheme = {
        "targets": ["Linear"],
        "weights": {
            "num_bits": 4,
            "type": "int",
            "symmetric": True,
            "strategy": "group",
            "group_size": GROUP,
            "observer": SCALES[method],
        },
    }
    settings: Any = {"ignore": ["lm_head"], "config_groups": {"group": scheme}}
    recipe = [AWQModifier(), QuantizationModifier(**settings)] if method == "awq" else [GPTQModifier(**settings)]
    data = Dataset.from_list([{"input_ids": each, "attention_mask": [1] * len(each)} for each in windows])
    # the windows are token numbers already, but a tokenizer is demanded
    unused = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"a": 0}, "a")), pad_token="a")
    count = len(windows)
    oneshot(
        model=network,
        tokenizer=unused,
        dataset=data,
        recipe=recipe,
        max_seq_length=WINDOW,
        num_calibration_samples=count,
    )


@torch.inference_mode()
def perplexity(network: Any, windows: list[list[int]]) -> float:
    losses = [
        float(network(ids, labels=ids, use_cache=False).loss) for ids in map(lambda w: torch.tensor([w]), windows)
    ]
    return float(torch.tensor(losses).mean().exp())


def say(name: str, value: float, seconds: float) -> None:
    sys.stdout.write(f"{name}: perplexity {value:.3f}, {seconds:.0f} s of CPU\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
