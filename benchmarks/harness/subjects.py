"""The questions of the answers benchmark, how answers are scored, and the templates to compare."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import ifeval, tasks

BBH = ("boolean_expressions", "sports_understanding", "object_counting", "word_sorting")
YES_NO = {"boolean_expressions": ("true", "false"), "sports_understanding": ("yes", "no")}
SHORT, LONG = 16, 120


@dataclass(frozen=True)
class Question:
    """A plain question, and how to score its answer: `score` from 0 to 1, `valid` for the form alone.

    `loose` is the most lenient score: the prose may end in the right answer anywhere.
    """

    text: str
    score: Callable[[str], float]
    valid: Callable[[str], bool]
    loose: Callable[[str], float]


@dataclass(frozen=True)
class Subject:
    """Questions of one kind. `templates` are the arms that name a template: the arm's name and the template."""

    name: str
    questions: Sequence[Question]
    max_tokens: int
    templates: Mapping[str, str]
    chance: float
    """The score of guessing among the valid answers, or 0 if that is close to nothing."""
    most: float = 0.0
    """The score of always giving the most frequent answer."""
    controls: Mapping[str, float] = field(default_factory=dict)
    """The scores of methods that need no model."""


def classification(task: tasks.Task, vote: float) -> Subject:
    """Return one of the main job's tasks, with each text in one of the three wordings."""
    questions = [
        _exact(task.questions(item)[number % len(tasks.WORDINGS[task.name])], item.label, task.labels)
        for number, item in enumerate(task.dev)
    ]
    named = {
        "format line: the labels": f"benchmark.{task.name}.instruction",
        "static few-shot, one per label": f"benchmark.{task.name}.static",
        "oracle: the right template, named": task.template,
    }
    most = _most([item.label for item in task.dev])
    return Subject(task.name, questions, SHORT, named, 1 / len(task.labels), most, {"vote of the 6 nearest": vote})


def bbh(data: Path, name: str, limit: int) -> Subject:
    """Return a task of BIG-Bench Hard, with its questions unchanged."""
    rows = [json.loads(line) for line in (data / "bbh" / f"{name}.jsonl").read_text("utf-8").splitlines()]
    rows = rows[:: max(1, len(rows) // limit)][:limit]
    slug = name.replace("_", "-")
    named = {
        "format line": f"benchmark.{slug}.format",
        "oracle: few-shot by hand, named": f"benchmark.{slug}.few-shot",
    }
    most = _most([row["target"] for row in rows])
    if name in YES_NO:
        questions = [_exact(row["input"], row["target"], YES_NO[name]) for row in rows]
        return Subject(name, questions, SHORT, named, 0.5, most)
    if name == "word_sorting":
        return Subject(name, [_sorting(row["input"], row["target"]) for row in rows], LONG, named, 0.0, most)
    questions = [_count(row["input"], row["target"]) for row in rows]
    return Subject(name, questions, SHORT, named, 0.0, most)


def instructions(data: Path, limit: int, max_tokens: int) -> Subject:
    """Return IFEval. `score` requires every instruction to be followed; `loose` is the share that is followed."""
    prompts, _ = ifeval.read(data, limit)
    questions = [Question(one.text, _all_followed(one), bool, _part_followed(one)) for one in prompts]
    return Subject(
        "ifeval", questions, max_tokens, {"oracle: checklist by hand, named": "benchmark.ifeval.checklist"}, 0.0
    )


def write_templates(folder: Path, data: Path, classified: Sequence[tasks.Task]) -> None:
    """Write the benchmark's library: the templates of the main job and of the other tasks."""
    tasks.write_templates(folder, data, tuple(classified))
    for name in ("bbh", "ifeval"):
        shutil.copytree(tasks.TEMPLATES / name, folder / name)


def bare(said: str) -> str:
    """Remove space, case and one full stop around an answer."""
    return said.strip().lower().removesuffix(".").strip()


def _exact(text: str, wanted: str, labels: Sequence[str]) -> Question:
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, labels))})\b", re.IGNORECASE)

    def loose(said: str) -> float:
        named = pattern.findall(said)
        return float(bool(named) and bare(named[-1]) == bare(wanted))

    return Question(text, _equal(wanted), lambda said: bare(said) in labels, loose)


def _count(text: str, wanted: str) -> Question:
    def loose(said: str) -> float:
        return float(re.findall(r"\d+", said)[-1:] == [wanted])

    return Question(text, _equal(wanted), lambda said: bare(said).isdigit(), loose)


def _equal(wanted: str) -> Callable[[str], float]:
    return lambda said: float(bare(said) == bare(wanted))


def _sorting(text: str, wanted: str) -> Question:
    def words(said: str) -> list[str]:
        return re.findall(r"[\w'-]+", said.lower())

    # any separator will do; valid answers are the words of the list in any order
    return Question(
        text,
        lambda said: float(words(said) == words(wanted)),
        lambda said: Counter(words(said)) == Counter(words(wanted)),
        lambda said: float(" ".join(words(wanted)) in " ".join(words(said))),
    )


def _all_followed(prompt: ifeval.Prompt) -> Callable[[str], float]:
    return lambda said: float(prompt.followed(said) == len(prompt.instructions))


def _part_followed(prompt: ifeval.Prompt) -> Callable[[str], float]:
    return lambda said: prompt.followed(said) / len(prompt.instructions)


def _most(targets: Sequence[str]) -> float:
    return Counter(targets).most_common(1)[0][1] / len(targets)
