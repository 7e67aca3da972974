"""The whole loop with the default model, on three applications, through the HTTP API.

    python benchmarks/found_applications.py --data FOLDER [--only classifier] [--recorded 300] [--fresh 150]

* `classifier` sorts messages to a bank into eight labels (`intents/banking8`).
* `extractor` answers a question with JSON, from a text (`nq_open`).
* `checker` says yes or no: does the text answer the question? (`nq_open`, other questions; half of the texts are those
  of another question.)

The texts and right answers are by people who do not know Foreword. The system messages are by this script's author,
who has not tried others. Half of the recorded requests get feedback with the right answer. Fresh rows are answered
twice: with the application's own prompt (`x-foreword-mode: off`) and with the promoted version.
"""

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import click
from harness.found_loop import TaskRow, shown, whole_loop

WINDOW = 300
SEED = 11


def _row(system: str, user: str, wanted: str) -> TaskRow:
    return TaskRow(({"role": "system", "content": system}, {"role": "user", "content": user}), wanted)


def classifier(data: Path) -> list[TaskRow]:
    rows = [
        json.loads(line)
        for name in ("train", "dev")
        for line in (data / "intents" / "banking8" / f"{name}.jsonl").read_text().splitlines()
    ]
    labels = sorted({row["label"] for row in rows})
    system = f"You sort messages to a bank. Each has one label: {', '.join(labels)}. Answer with the label alone."
    return _mixed([_row(system, row["text"], row["label"]) for row in rows])


def extractor(data: Path) -> list[TaskRow]:
    system = 'You read a text and answer a question about it. Answer with JSON alone: {"answer": "words of the text"}'
    rows = [
        _row(system, f"Question: {question}\nText: {text}", json.dumps({"answer": answer}, ensure_ascii=False))
        for question, text, answer in list(_windows(data))[0::2]
    ]
    return _mixed(rows)


def checker(data: Path) -> list[TaskRow]:
    system = "You check texts. Does the text answer the question? Say yes or no, and nothing else."
    windows = list(_windows(data))[1::2]
    rows = []
    for at, (question, text, _) in enumerate(windows):
        other = windows[(at + 7) % len(windows)][1]
        user = f"Text: {other if at % 2 else text}\nQuestion: {question}?"
        rows.append(_row(system, user, "no" if at % 2 else "yes"))
    return _mixed(rows)


def _windows(data: Path) -> Iterator[tuple[str, str, str]]:
    """Yield questions with the words around their answer, cut at the borders of words."""
    for line in (data / "nq_open" / "dev.jsonl").open():
        row = json.loads(line)
        answer, text = row["answers"][0], row["ctxs"][0]["text"]
        at = text.find(answer)
        if at < 0:
            continue
        start = max(0, at - WINDOW // 2)
        window = text[start : start + WINDOW]
        yield row["question"], re.sub(r"^\S*\s|\s\S*$", "", window) if start else window, answer


def _mixed(rows: list[TaskRow]) -> list[TaskRow]:
    return Random(SEED).sample(rows, len(rows))


TASKS: dict[str, tuple[Callable[[Path], list[TaskRow]], int]] = {
    "classifier": (classifier, 16),
    "extractor": (extractor, 40),
    "checker": (checker, 8),
}


@click.command(help=__doc__)
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--only", type=click.Choice(list(TASKS)))
@click.option("--recorded", default=300, show_default=True)
@click.option("--fresh", default=150, show_default=True)
@click.option("--calls", default=500, show_default=True, help="The budget of `optimise`.")
def main(data: Path, only: str | None, recorded: int, fresh: int, calls: int) -> None:
    for name, (rows_of, max_tokens) in TASKS.items():
        if only not in (None, name):
            continue
        rows = rows_of(data)
        with tempfile.TemporaryDirectory() as folder:
            result = whole_loop(
                name,
                Path(folder),
                rows[:recorded],
                rows[recorded : recorded + fresh],
                feedback=0.5,
                calls=calls,
                max_tokens=max_tokens,
            )
        click.echo(shown(result))


if __name__ == "__main__":
    main()
