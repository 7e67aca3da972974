"""Measures what rewriting does for answers: raw questions, the gateway, and negative controls.

A 135M model answers greedily over the HTTP API. The figures show the mechanism, not what a good model would gain. Each
arm is paired with the raw questions, question by question. If two arms send the same body, the model is asked once,
because greedy answers are equal. Some bodies are asked again to check this.
"""

import json
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from harness import foreword, subjects, tasks
from harness.report import table
from harness.subjects import Question, Subject
from main_job import CONFIG, MODEL, votes

from gateway.records.scores import paired, wilson

BARE = (
    foreword.LOCAL
    + """
[prompt]
mode = "off"
templates = []
[records]
policy = "none"
"""
)
RAW, NO_OP, GATEWAY, WRONG = "raw", "no-op gateway (mode off)", "gateway", "gateway, a random wrong template"
HEAD = ("prompt", "score", "95 %", "loosely", "valid", "of valid", "against raw", "p", "prompt tokens", "spoke")
ASK_AGAIN = 5
IFEVAL = "ifeval"
TASKS = (*tasks.WORDINGS, *subjects.BBH, IFEVAL)
LONGEST_ANSWER = 200


@dataclass(frozen=True)
class Said:
    """An answer and the number of tokens in its prompt."""

    text: str
    prompt_tokens: int


@dataclass
class Arm:
    """The results of one arm, question by question."""

    scores: list[float] = field(default_factory=list)
    loose: float = 0.0
    valid: int = 0
    prompt_tokens: int = 0
    templates: Counter[str] = field(default_factory=Counter)

    def add(self, question: Question, said: Said, template: str) -> None:
        self.scores.append(question.score(said.text))
        self.loose += question.loose(said.text)
        self.valid += question.valid(said.text.strip())
        self.prompt_tokens += said.prompt_tokens
        self.templates[template] += 1


class Asker:
    """Asks either gateway, and caches the answer to each body."""

    def __init__(self, bare: int, full: int) -> None:
        self._bare, self._full = bare, full
        self._known: dict[str, Said] = {}
        self.asked = self.reused = 0
        self.again: list[bool] = []
        """Whether asking a body again gave the same answer."""
        self.left: Counter[str] = Counter()
        """Why the gateway left a prompt unchanged."""

    def raw(self, question: str, max_tokens: int) -> Said:
        body = _body(question, max_tokens, {})
        key = json.dumps(body, sort_keys=True)
        if key not in self._known:
            self._known[key] = self._ask(self._bare, body)
        return self._known[key]

    def through(self, question: str, max_tokens: int, controls: Mapping[str, str]) -> tuple[Said, str]:
        """Return the gateway's answer, and the template that was used."""
        body = _body(question, max_tokens, controls)
        shown = self.preview(question, max_tokens, controls)
        template = shown["rewrite"]["template"] if shown["changed"] else ""
        if not template and not controls:
            self.left[_why(shown)] += 1
        key = json.dumps(shown["body"], sort_keys=True)
        known = self._known.get(key)
        check = known is not None and len(self.again) < ASK_AGAIN * 7 and random.Random(key).random() < 0.1
        if known is None or check:
            said = self._ask(self._full, body)
            if known is not None:
                self.again.append(said.text == known.text)
            self._known.setdefault(key, said)
        else:
            self.reused += 1
        return self._known[key], template

    def preview(self, question: str, max_tokens: int, controls: Mapping[str, str]) -> dict[str, Any]:
        body = _body(question, max_tokens, controls)
        shown: dict[str, Any] = json.loads(foreword.post(self._full, "/v1/foreword/preview", body))
        return shown

    def _ask(self, port: int, body: dict[str, Any]) -> Said:
        self.asked += 1
        answer = json.loads(foreword.post(port, "/v1/chat/completions", body, timeout_s=300))
        return Said(answer["choices"][0]["message"]["content"] or "", answer["usage"]["prompt_tokens"])


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), help="The folder of real data.")
@click.option("--labelled", default=60, show_default=True, help="Questions of each classification task.")
@click.option("--bbh", default=40, show_default=True, help="Questions of each task of BIG-Bench Hard.")
@click.option("--ifeval", default=30, show_default=True, help="Prompts of IFEval.")
@click.option("--only", multiple=True, type=click.Choice(TASKS), help="Only these tasks. Default: all.")
@click.option(
    "--brief", is_flag=True, help="Compare only raw questions and the gateway, without wrong and named templates."
)
@click.option(
    "--budget-ms", default=5000, show_default=True, help="[prompt] budget_ms, long enough that nothing times out."
)
def answers(
    data: Path, labelled: int, bbh: int, ifeval: int, only: tuple[str, ...], brief: bool, budget_ms: int
) -> None:
    """Compare raw and rewritten answers of a small model, with negative controls."""
    began = time.monotonic()
    classified = [tasks.read(data, name, labelled) for name in tasks.WORDINGS]
    with tempfile.TemporaryDirectory(prefix="foreword-answers-") as folder, ExitStack() as stack:
        scratch = Path(folder)
        subjects.write_templates(scratch / "templates", data, classified)
        config = CONFIG.replace("@folder@", str(scratch / "templates")).replace("@budget@", str(budget_ms))
        full, full_port = foreword.start(scratch / "gateway", config, ready_s=1200)
        stack.callback(full.stop)
        plain, plain_port = foreword.start(scratch / "bare", BARE)
        stack.callback(plain.stop)
        asker = Asker(plain_port, full_port)
        wrong = _active_templates(scratch / "templates")
        for subject in _subjects(data, classified, bbh, ifeval, only or TASKS):
            click.echo(f"\n{subject.name}, {len(subject.questions)} questions:\n")
            click.echo(table(HEAD, _rows(subject, _run(asker, subject, wrong, brief))))
            click.echo(f"{subject.name} done, {time.monotonic() - began:.0f} s; left: {dict(asker.left)}", err=True)
            asker.left.clear()
    same = f"{sum(asker.again)} of {len(asker.again)}"
    click.echo(f"\n{asker.asked} answers of the model; {asker.reused} more were taken from the cache.")
    click.echo(f"Asked again: {same} gave the same answer. {(time.monotonic() - began) / 60:.0f} minutes.")


def _subjects(
    data: Path, classified: Sequence[tasks.Task], bbh: int, ifeval: int, only: Sequence[str]
) -> Iterator[Subject]:
    for task in classified:
        if task.name in only:
            yield subjects.classification(task, votes(task) / len(task.dev))
    for name in subjects.BBH:
        if name in only:
            yield subjects.bbh(data, name, bbh)
    if IFEVAL in only:
        yield subjects.instructions(data, ifeval, LONGEST_ANSWER)


def _run(asker: Asker, subject: Subject, wrong: Sequence[str], brief: bool) -> dict[str, Arm]:
    controls: dict[str, Callable[[Question], Mapping[str, str]]] = {NO_OP: lambda _: {"mode": "off"}}
    if not brief:
        controls[WRONG] = lambda question: {"template": _wrong_for(asker, subject, question, wrong)}
        controls |= {name: lambda _, id=id: {"template": id} for name, id in subject.templates.items()}
    controls[GATEWAY] = lambda _: {}
    arms = {name: Arm() for name in (RAW, *controls)}
    for question in subject.questions:
        arms[RAW].add(question, asker.raw(question.text, subject.max_tokens), "")
        for name, choose in controls.items():
            arms[name].add(question, *asker.through(question.text, subject.max_tokens, choose(question)))
    return arms


def _wrong_for(asker: Asker, subject: Subject, question: Question, wrong: Sequence[str]) -> str:
    """Return a template of another intent that can be used for this question, the same in each run."""
    order = list(wrong)
    random.Random(question.text).shuffle(order)
    right = set(subject.templates.values())
    for id in order:
        if id not in right and asker.preview(question.text, subject.max_tokens, {"template": id})["changed"]:
            return id
    return ""


def _active_templates(own: Path) -> list[str]:
    from gateway.prompt.library.library import load_library

    library, _ = load_library([foreword.ROOT / "templates", own])
    return sorted(one.id for one in library.templates if one.active and one.language == "en")


def _rows(subject: Subject, arms: Mapping[str, Arm]) -> list[list[str]]:
    raw = arms[RAW].scores
    rows = [_row(name, arm, raw if name != RAW else None) for name, arm in arms.items()]
    guessing = {"guessing a valid answer": subject.chance, "the most frequent answer": subject.most}
    for name, score in {**subject.controls, **guessing}.items():
        if score:
            rows.append([f"no model: {name}", f"{score:.3f}", *[""] * (len(HEAD) - 2)])
    return rows


def _row(name: str, arm: Arm, raw: Sequence[float] | None) -> list[str]:
    n, right = len(arm.scores), sum(arm.scores)
    low, high = wilson(int(right), n)
    against, p = "", ""
    if raw is not None:
        found = paired([one - other for one, other in zip(arm.scores, raw, strict=True)], random.Random(1))
        against, p = f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]", f"{found.p:.3f}"
    spoke = sum(count for template, count in arm.templates.items() if template)
    return [
        name,
        f"{right / n:.3f}",
        f"{low:.2f}-{high:.2f}",
        f"{arm.loose / n:.3f}",
        f"{arm.valid / n:.3f}",
        f"{right / arm.valid:.3f}" if arm.valid else "",
        against,
        p,
        f"{arm.prompt_tokens / n:.0f}",
        f"{spoke / n:.2f}" if name != RAW else "",
    ]


def _why(shown: Mapping[str, Any]) -> str:
    """Return the last stage's reason, without figures."""
    notes = [note for note in shown["notes"] if note["stage"] in ("classify", "rewrite")]
    return re.sub(r"'[^']*'|\d+(?:\.\d+)?", "…", notes[-1]["reason"]) if notes else "no stage gave a reason"


def _body(question: str, max_tokens: int, controls: Mapping[str, str]) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": MODEL,
        "messages": [{"role": "user", "content": question}],
        "temperature": 0,
        "max_tokens": max_tokens,
    }
    return {**body, "foreword": dict(controls)} if controls else body


if __name__ == "__main__":
    answers()
