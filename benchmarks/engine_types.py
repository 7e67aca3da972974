"""Compares files of one model by the CPU time that the local engine takes for an answer.

    python benchmarks/engine_types.py NAME=FILE NAME=FILE ... [--runs 5]

Each run asks every file in turn, so that other load on the machine falls on all of them alike; the medians are shown. A
mix is the number of tokens that are read and written. CPU seconds are those of this process, with one thread. The first
file is the one that the others are compared with.
"""

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from gateway.backends.local.engine import LlamaEngine, LlamaOptions
from gateway.backends.local.gguf import metadata
from gateway.resources import locate

MIXES = ((35, 100), (400, 100), (2000, 50))
STREAMS, SHORT = 4, (35, 64)
WORD = " sea"  # one token


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    engines = dict(opened(word) for word in options.files)
    taken: dict[str, list[list[float]]] = {name: [] for name in engines}
    for run in range(options.runs + 1):
        for name, engine in engines.items():
            seconds = measured(engine, run)
            if run:  # the first run warms up
                taken[name].append(seconds)
    report(taken)


def opened(word: str) -> tuple[str, LlamaEngine]:
    name, _, file = word.partition("=")
    path = locate(file, Path.cwd())
    return name, LlamaEngine(path, metadata.read(path), LlamaOptions(prompt_cache_mb=0))


def measured(engine: LlamaEngine, run: int) -> list[float]:
    """Return the CPU seconds of an answer in each mix, and of several short answers at a time."""
    seconds = [timed(engine, f"{run}{index}", mix, 1) for index, mix in enumerate(MIXES)]
    return [*seconds, timed(engine, f"{run}9", SHORT, STREAMS)]


def timed(engine: LlamaEngine, mark: str, mix: tuple[int, int], streams: int) -> float:
    began = time.process_time()
    with ThreadPoolExecutor(streams) as pool:
        list(pool.map(lambda at: answer(engine, f"{mark}{at}", *mix), range(streams)))
    return time.process_time() - began


def answer(engine: LlamaEngine, mark: str, read: int, written: int) -> None:
    """Complete a prompt of `read` tokens. The mark at its start keeps the engine from reusing an earlier prompt."""
    text = mark + WORD * (read - len(mark))
    body = {"prompt": text, "max_tokens": written, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
    pieces: list[bytes] = []
    engine.complete(json.dumps(body).encode(), lambda piece: bool(pieces.append(piece)))
    usage = json.loads(pieces[-1])["usage"]
    assert abs(usage["prompt_tokens"] - read) <= 2, usage
    assert usage["completion_tokens"] == written, usage


def report(taken: dict[str, list[list[float]]]) -> None:
    heads = [f"{read} / {written}" for read, written in MIXES] + [f"{STREAMS} x {SHORT[0]} / {SHORT[1]}"]
    lines = [f"| CPU s | {' | '.join(heads)} | mixes together |", "|---|" + "--:|" * (len(heads) + 1)]
    base: list[float] = []
    for name, runs in taken.items():
        medians = [median(column) for column in zip(*runs, strict=True)]
        medians.append(sum(medians[: len(MIXES)]))
        base = base or medians
        cells = " | ".join(f"{value:.2f} ({value / first:.2f})" for value, first in zip(medians, base, strict=True))
        lines.append(f"| {name} | {cells} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
