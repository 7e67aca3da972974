"""Measures a model file by the rows in a step of llama.cpp: what a batch of answers or of prompt tokens costs.

    python benchmarks/engine_batches.py FILE [FILE ...] [--rows 1,2,4,8] [--pieces 128] [--rounds 1]
        [--build native=FOLDER] [--caches f16,q8_0]

Prints a Markdown table: tokens written for each CPU second, one for each of so many answers in a step, and tokens of a
prompt of 1,024 that are read for each CPU second in pieces of so many. One thread. A round asks each file in a process
of its own and takes the best of three; the medians of the rounds are shown. `--build` adds the same with another build
of llama.cpp: FOLDER is where its wheel was unpacked or installed (`pip install --target FOLDER`).
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from statistics import median

from offline_jobs.compress.measuring.llamacpp import LlamaContext, LoadedModel

PROMPT, STEPS, RUNS, LONG = 24, 12, 3, 1024
WHEEL = "installed="


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--rows", default="1,2,4,8")
    parser.add_argument("--pieces", default="128")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--build", action="append", default=[], help="NAME=FOLDER")
    parser.add_argument("--caches", default="f16", help="types of keys and values: f16, q8_0")
    parser.add_argument("--inside", action="store_true", help="measure in this process, and print JSON")
    options = parser.parse_args()
    rows = [int(word) for word in options.rows.split(",")]
    pieces = [int(word) for word in options.pieces.split(",")]
    if options.inside:
        sys.stdout.write(json.dumps(measured(options.files[0], rows, pieces, options.caches)))
        return
    builds = dict(word.split("=", 1) for word in [WHEEL, *options.build])
    speeds: dict[tuple[str, Path, str], list[list[float]]] = {}
    for _ in range(options.rounds):
        for file in options.files:
            # beside each other, so that other load falls on all alike
            for cache, (build, folder) in product(options.caches.split(","), builds.items()):
                speeds.setdefault((build, file, cache), []).append(asked(file, options, folder, cache))
    report(speeds, rows, pieces)


def asked(file: Path, options: argparse.Namespace, folder: str, cache: str) -> list[float]:
    paths = [*([folder] if folder else []), *sys.path]
    command = [sys.executable, __file__, str(file), "--inside", "--caches", cache]
    command += ["--rows", options.rows, "--pieces", options.pieces]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment, check=True)
    return [float(speed) for speed in json.loads(done.stdout)]


def measured(file: Path, rows: list[int], pieces: list[int], cache: str) -> list[float]:
    """Return tokens for each CPU second: written in steps of so many rows, then read in pieces of so many."""
    model = LoadedModel(file)
    speeds = [count / written(model, count, cache) for count in rows]
    speeds += [LONG / prompt_read(model, piece, cache) for piece in pieces]
    model.close()
    return speeds


def report(speeds: dict[tuple[str, Path, str], list[list[float]]], rows: list[int], pieces: list[int]) -> None:
    heads = [
        "file",
        "build",
        "cache",
        *(f"writes {count}" for count in rows),
        *(f"reads by {piece}" for piece in pieces),
    ]
    lines = [f"| {' | '.join(heads)} |", "|---|---|---|" + "--:|" * (len(heads) - 3)]
    for (build, file, cache), runs in speeds.items():
        cells = [f"{median(column):.0f}" for column in zip(*runs, strict=True)]
        lines.append(f"| {' | '.join([file.stem, build, cache, *cells])} |")
    sys.stdout.write("\n".join(lines) + "\n")


def written(model: LoadedModel, rows: int, cache: str) -> float:
    """Return the CPU seconds of one step."""
    prompt = list(range(2, 2 + PROMPT))
    with model.context(PROMPT + STEPS * (RUNS + 1), rows=rows, cache=cache) as context:
        context.read(prompt, 0, rows=rows, logits=False)

        def steps(run: int) -> None:
            for step in range(STEPS):
                context.read(prompt[:1], PROMPT + run * STEPS + step, rows=rows)

        return best(steps) / STEPS


def prompt_read(model: LoadedModel, piece: int, cache: str) -> float:
    """Return the CPU seconds of reading a prompt in pieces."""
    with model.context(LONG, cache=cache) as context:

        def read(_: int) -> None:
            pieces(context, piece)

        return best(read)


def pieces(context: LlamaContext, piece: int) -> None:
    context.clear()
    for start in range(0, LONG, piece):
        context.read(list(range(2, 2 + piece)), start, logits=False)


def best(work: Callable[[int], None]) -> float:
    times = []
    for run in range(RUNS + 1):  # the first run warms up
        began = time.process_time()
        work(run)
        times.append(time.process_time() - began)
    return min(times[1:])


if __name__ == "__main__":
    main()
