"""Measures a GGUF file with llama.cpp in a child process, because a broken model can crash llama.cpp's library.

The child is started as `python -m offline_jobs.compress.measuring.measure < request.json`.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct

from gateway.backends.local.variants import Speeds
from offline_jobs.compress.measuring.llamacpp import LoadedModel, losses
from offline_jobs.errors import JobFailed

LOOK_EVERY_S = 0.2
PROMPT, STEPS, ROWS = 256, 24, 8
T = TypeVar("T")


class MeasureRequest(Struct, frozen=True):
    """A request to the child process.

    `what` selects the result: the tokens of `text`, the losses of `windows`, or the speeds.
    """

    what: Literal["tokens", "losses", "speeds"]
    model: str
    text: str = ""
    windows: list[list[int]] = []
    cache: str = "f16"
    threads: int = 1


class TextTokens(Struct, frozen=True):
    tokens: list[int]
    first: int | None
    """The token that must start each text, or None if there is no such token."""


class WindowLosses(Struct, frozen=True):
    means: list[float]
    """The mean negative log-likelihood of each window."""


def tokens_of(model: Path, text: str, check: Callable[[], None]) -> TextTokens:
    """Tokenize a text. Raises `JobFailed` if llama.cpp cannot load the vocabulary."""
    return _measured(MeasureRequest("tokens", str(model), text=text), TextTokens, check)


def losses_of(
    model: Path, windows: Sequence[Sequence[int]], check: Callable[[], None], *, cache: str = "f16", threads: int = 1
) -> list[float]:
    """Return the mean negative log-likelihood of each window. Raises `JobFailed` if llama.cpp cannot load the model."""
    request = MeasureRequest("losses", str(model), windows=list(map(list, windows)), cache=cache, threads=threads)
    return _measured(request, WindowLosses, check).means


def speeds_of(model: Path, check: Callable[[], None], *, cache: str = "f16", threads: int = 1) -> Speeds:
    """Return the speeds of the model, in tokens per second of CPU time."""
    return _measured(MeasureRequest("speeds", str(model), cache=cache, threads=threads), Speeds, check)


def _measured(request: MeasureRequest, type: type[T], check: Callable[[], None]) -> T:
    """Run the request in a child process. `check` is called while the child runs. If `check` raises, the child is
    killed."""
    program = [sys.executable, "-m", "offline_jobs.compress.measuring.measure"]
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        given.write(msgspec.json.encode(request))
        given.seek(0)
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(program, stdin=given, stdout=out, stderr=errors, env=environment)
        try:
            while process.poll() is None:
                check()
                time.sleep(LOOK_EVERY_S)
        finally:
            process.kill()
            process.wait()
        out.seek(0)
        errors.seek(0)
        if process.returncode:
            lines = errors.read().decode(errors="replace").strip().splitlines() or ["no reason was given"]
            raise JobFailed(f"llama.cpp's process ended with code {process.returncode}: {lines[-1]}")
        return msgspec.json.decode(out.read(), type=type)


def median_speeds(models: Sequence[tuple[Path, str]], threads: int, runs: int) -> list[Speeds]:
    """Return the median speeds of each pair of file and cache type. Each pair is measured `runs` times."""
    rounds = [
        [speeds_of(path, _unlimited, cache=cache, threads=threads) for path, cache in models] for _ in range(runs)
    ]
    return [_median_of(each) for each in zip(*rounds, strict=True)]


def _median_of(runs: Sequence[Speeds]) -> Speeds:
    return Speeds(
        runs[0].threads,
        median(run.read for run in runs),
        median(run.write_1 for run in runs),
        median(run.write_8 for run in runs),
    )


def _unlimited() -> None:
    """A check that never raises, because a measurement from the command line has no budget."""


def main() -> None:
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=MeasureRequest)
    try:
        answer = _answer(request)
    except JobFailed as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from None
    sys.stdout.buffer.write(msgspec.json.encode(answer))
    sys.stdout.flush()


def _answer(request: MeasureRequest) -> Struct:
    model = LoadedModel(Path(request.model), vocabulary_only=request.what == "tokens")
    try:
        if request.what == "tokens":
            return TextTokens(model.tokens(request.text), model.first_token)
        if request.what == "speeds":
            return _speeds(model, request)
        longest = max(map(len, request.windows))
        with model.context(longest, threads=request.threads, cache=request.cache) as context:
            return WindowLosses([float(losses(context, window).mean()) for window in request.windows])
    finally:
        model.close()


def _speeds(model: LoadedModel, request: MeasureRequest) -> Speeds:
    read, single = _rates(model, request, rows=1)
    _, many = _rates(model, request, rows=ROWS)
    return Speeds(request.threads, round(read, 1), round(single, 1), round(many, 1))


def _rates(model: LoadedModel, request: MeasureRequest, rows: int) -> tuple[float, float]:
    """Return the speeds of reading and of writing, in tokens per CPU second. A first run warms up and is not timed."""
    prompt = [2 + place % min(1000, model.vocabulary_size - 2) for place in range(PROMPT // rows)]
    room = len(prompt) + STEPS + 4
    with model.context(room, threads=request.threads, rows=rows, cache=request.cache) as context:
        context.read(prompt, 0, rows=rows, logits=False)
        context.clear()
        began = time.process_time()
        context.read(prompt, 0, rows=rows, logits=False)
        read_s = time.process_time() - began
        context.read(prompt[:1], len(prompt), rows=rows)
        began = time.process_time()
        for step in range(STEPS):
            context.read(prompt[:1], len(prompt) + 1 + step, rows=rows)
        write_s = time.process_time() - began
    return len(prompt) * rows / read_s, STEPS * rows / write_s


if __name__ == "__main__":
    main()
