"""Measures a model file by the rows in a step of llama.cpp: what a batch of answers or of prompt tokens costs.

    python benchmarks/engine_batches.py FILE [FILE ...] [--rows 1,2,4,8,16] [--pieces 32,64,128,256]

Shows milliseconds of CPU for a step that writes one token of each of so many answers, tokens written for each CPU
second, and tokens of a prompt of 1,024 that are read for each CPU second in pieces of so many. One thread, the best of
three.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from offline_jobs.compress.measuring.llamacpp import LlamaContext, LoadedModel

PROMPT, STEPS, RUNS, LONG = 24, 12, 3, 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--rows", default="1,2,4,8,16")
    parser.add_argument("--pieces", default="32,64,128,256")
    options = parser.parse_args()
    for file in options.files:
        model = LoadedModel(file)
        sys.stdout.write(f"{file.name}\n")
        for rows in map(int, options.rows.split(",")):
            seconds = written(model, rows)
            sys.stdout.write(f"  {rows} answers: {seconds * 1000:.1f} ms a step, {rows / seconds:.0f} written\n")
        for piece in map(int, options.pieces.split(",")):
            sys.stdout.write(f"  pieces of {piece}: {LONG / prompt_read(model, piece):.0f} read\n")
        model.close()


def written(model: LoadedModel, rows: int) -> float:
    """Return the CPU seconds of one step."""
    prompt = list(range(2, 2 + PROMPT))
    with model.context(PROMPT + STEPS * (RUNS + 1), rows=rows) as context:
        context.read(prompt, 0, rows=rows, logits=False)

        def steps(run: int) -> None:
            for step in range(STEPS):
                context.read(prompt[:1], PROMPT + run * STEPS + step, rows=rows)

        return best(steps) / STEPS


def prompt_read(model: LoadedModel, piece: int) -> float:
    """Return the CPU seconds of reading a prompt in pieces."""
    with model.context(LONG) as context:

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
