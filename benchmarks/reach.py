"""Checks whether the model receives what an answer needs: the tasks of `regret.py`, and a reader that repeats its
input.

    python benchmarks/reach.py --data FOLDER [--each 24] [--first 4]

This is the part of the regret that is not a model's fault: how much of the answer is in the beginning of a text, in the
passages found in it, and in the whole text. Summaries, and strategies that call a model on the way, are left out.
"""

import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import click
from harness import foreword
from harness.long_tasks import Case, cases
from harness.report import table
from regret import CHOSEN, TRUNCATE, WINDOW, head

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.doubles.toy_model import Messages, toy_model

CONFIG = f"""
[data]
folder = "{{data}}"
[prompt]
templates = ["{{root}}/templates"]
confidence = 1.0
improvable = 1.0
budget_ms = 30000
[records]
policy = "none"
[embedder]
kind = "sentence"
[backends.reader]
kind = "openai"
base_url = "http://127.0.0.1:{{port}}/v1"
models = ["native", "scaled"]
[models.small]
backend = "reader"
upstream = "native"
window_tokens = {WINDOW}
longer = "long"
[models.long]
backend = "reader"
upstream = "scaled"
window_tokens = 8000
"""
ARMS = (TRUNCATE, "focus", "interpolated", CHOSEN)
Found = tuple[float, int]
"""How much of the answer arrived, and in how many words."""


def ask(port: int, case: Case, arm: str) -> tuple[Found, str]:
    body: dict[str, object] = {"model": "small", "max_tokens": case.max_tokens, "foreword": {}}
    if arm not in (TRUNCATE, CHOSEN):
        body["foreword"] = {"strategy": arm}
    message = head(case) if arm == TRUNCATE else case.message
    reply = json.loads(
        foreword.post(port, "/v1/chat/completions", {**body, "messages": [_user(message)]}, timeout_s=600)
    )
    sent = reply["choices"][0]["message"]["content"]
    strategy = reply.get("foreword", {}).get("strategy", "as it is")
    return ((case.held or case.score)(sent), len(sent.split())), strategy


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def rows(found: dict[str, dict[str, list[Found]]]) -> list[list[str]]:
    kinds = [[kind, str(len(arms[CHOSEN])), *[_shown(arms[arm]) for arm in ARMS]] for kind, arms in found.items()]
    together = [[one for arms in found.values() for one in arms[arm]] for arm in ARMS]
    return [*kinds, ["all", str(len(together[0])), *[_shown(of) for of in together]]]


def _shown(found: Sequence[Found]) -> str:
    return f"{mean(score for score, _ in found):.3f} in {mean(words for _, words in found):.0f}"


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--first", default=4, show_default=True, help="The number of the first case.")
@click.option("--each", default=24, show_default=True, help="The number of cases of each kind.")
@click.option("--keep", type=click.Path(path_type=Path), help="The gateway's data folder from an earlier run.")
def main(data: Path, first: int, each: int, keep: Path | None) -> None:
    """Print how much of what an answer needs reaches the model, and in how many words."""
    found: dict[str, dict[str, list[Found]]] = defaultdict(lambda: defaultdict(list))
    chose: dict[str, set[str]] = defaultdict(set)
    with tempfile.TemporaryDirectory(prefix="foreword-reach-") as scratch, toy_model(repeat) as toy:
        folder = keep or Path(scratch) / "data"
        config = CONFIG.replace("{data}", str(folder.resolve())).replace("{port}", str(toy.port))
        server, port = foreword.start(Path(scratch) / "gateway", config, ready_s=900)
        try:
            for case in cases(data, first, each):
                if case.kind == "plot":  # a plot's references are in other people's words
                    continue
                for arm in ARMS:
                    result, strategy = ask(port, case, arm)
                    found[case.kind][arm].append(result)
                    if arm == CHOSEN:
                        chose[case.kind].add(strategy)
        finally:
            server.stop()
    click.echo(table(["kind", "cases", *ARMS], rows(found)))
    for kind, names in chose.items():
        click.echo(f"{kind}: chose {', '.join(sorted(names))}")


def repeat(model: str, messages: Messages) -> str:
    return messages[-1]["content"]


if __name__ == "__main__":
    main()
