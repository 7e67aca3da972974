"""The two classification tasks of the main job: questions, texts, and the templates to compare."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"
# plain questions, as an application's author might write them; none is among the templates' own examples. The text is
# quoted or follows a line break, because without a clear border no examples are used
WORDINGS = {
    "clinc10": (
        'A user told our voice assistant: "{text}". What does the user want?',
        "What is the user asking the assistant for here?\n{text}",
        "Here is something that was said to a voice assistant. Which intent is it?\n\n{text}",
    ),
    "banking8": (
        'A customer of our bank wrote: "{text}". What is the problem about?',
        "What is this bank customer writing about?\n{text}",
        "This message came in at the bank's support desk. What is the customer's concern?\n\n{text}",
    ),
}
INSTRUCTION = """
# user
{{{{ text }}}}

Which one of these labels fits: {labels}? Answer with the label alone.
"""
# turns serve a small model best; the template that the classifier should choose uses them, too
STATIC_TURN = """
# user
{text}
# assistant
{label}
"""
STATIC = """
# user
{{ text }}
"""
HEAD = """---
schema: 1
id: benchmark.{task}.{kind}
version: 1
status: draft
language: en
intent:
  name: benchmark-{task}-{kind}
  match: [only named by the benchmark]
technique: {technique}
slots:
  text: {{from: payload, required: true}}
output:
  max_tokens: 16
  temperature: 0
  stop: ["\\n"]
---"""


@dataclass(frozen=True)
class Item:
    """A text to label, with its right label."""

    text: str
    label: str


@dataclass(frozen=True)
class Task:
    name: str
    train: tuple[Item, ...]
    dev: tuple[Item, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(sorted({item.label for item in self.train}))

    @property
    def template(self) -> str:
        return f"benchmark.{self.name}.en"

    def questions(self, item: Item) -> tuple[str, ...]:
        return tuple(wording.format(text=item.text) for wording in WORDINGS[self.name])


def read(data: Path, name: str, limit: int) -> Task:
    folder = data / "intents" / name
    dev = _items(folder / "dev.jsonl")
    # evenly spaced rows, so that a shorter run covers all labels even if the file is sorted by label
    step = max(1, len(dev) // limit)
    return Task(name, _items(folder / "train.jsonl"), dev[::step][:limit])


def _items(path: Path) -> tuple[Item, ...]:
    rows = map(json.loads, path.read_text("utf-8").splitlines())
    return tuple(Item(row["text"], row["label"]) for row in rows)


def write_templates(folder: Path, data: Path, tasks: tuple[Task, ...]) -> None:
    """Write the benchmark's template folder, with each task's train file as its pool.

    Beside the template that the classifier must choose, there are two drafts, which only a request's `template` field
    can select: one with fixed examples, and one with an instruction alone.
    """
    for task in tasks:
        target = folder / task.name
        shutil.copytree(TEMPLATES / task.name, target)
        (target / "train.jsonl").symlink_to((data / "intents" / task.name / "train.jsonl").resolve())
        first = {item.label: item for item in reversed(task.train)}
        turns = "".join(STATIC_TURN.format(text=first[label].text, label=label) for label in task.labels)
        head = HEAD.format(task=task.name, kind="static", technique="few-shot")
        (target / "static.prompt.md").write_text(head + turns.rstrip("\n") + STATIC, "utf-8")
        head = HEAD.format(task=task.name, kind="instruction", technique="direct")
        body = INSTRUCTION.format(labels=", ".join(task.labels))
        (target / "instruction.prompt.md").write_text(head + body, "utf-8")
