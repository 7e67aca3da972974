"""Joins the verdicts of blind readers, and prints how many of 1,000 prompts were harmed and improved.

    python benchmarks/judged.py join --key key.json --reader a.jsonl --reader b.jsonl [--third c.jsonl] \
        --out benchmarks/verdicts/public-fourth.jsonl
    python benchmarks/judged.py show --prompts 826 benchmarks/verdicts/public-fourth.jsonl

The key has the `no`, `id`, `template` and `confidence` of each rewritten prompt. It is made with the samples and not
shown to readers. A reader writes a `no`, a `verdict` (better, same, worse or wrong) and `intent_right` for each. The
third reader's verdicts are needed only where the first two disagree about harm.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
from harness.report import table

from gateway.records.scores import wilson

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
HARM = frozenset(("worse", "wrong"))

Row = dict[str, Any]


def lines_of(file: Path) -> list[Row]:
    return [json.loads(line) for line in file.read_text("utf-8").split("\n") if line.strip()]


def harmed(verdicts: Sequence[str]) -> bool:
    """Return whether most readers saw harm. If two disagree and no third has read, the prompt counts as harmed."""
    count = sum(verdict in HARM for verdict in verdicts)
    return count > 0 and 2 * count >= len(verdicts)


def improved(verdicts: Sequence[str]) -> bool:
    """Return whether the first two readers, or the only one, found the prompt better."""
    return all(verdict == "better" for verdict in verdicts[:2])


@click.group()
def main() -> None:
    """Join verdicts, and print figures."""


@main.command()
@click.option("--key", required=True, type=FILE)
@click.option("--reader", "readers", required=True, multiple=True, type=FILE)
@click.option("--third", type=FILE)
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path))
def join(key: Path, readers: tuple[Path, ...], third: Path | None, out: Path) -> None:
    """Write one line for each rewritten prompt: its id, its template and the verdicts."""
    read = [{row["no"]: row for row in lines_of(file)} for file in readers]
    deciding = {row["no"]: row for row in lines_of(third)} if third else {}
    with out.open("w", encoding="utf-8") as file:
        for row in json.loads(key.read_text("utf-8")):
            number = row.pop("no")
            verdicts = [reader[number]["verdict"] for reader in read]
            if len({verdict in HARM for verdict in verdicts}) > 1 and number in deciding:
                verdicts.append(deciding[number]["verdict"])
            right = all(reader[number]["intent_right"] for reader in read)
            file.write(json.dumps({**row, "verdicts": verdicts, "intent_right": right}) + "\n")
    click.echo(out)


@main.command()
@click.option("--prompts", required=True, type=int, help="How many prompts were decided, rewritten or not.")
@click.argument("file", type=FILE)
def show(prompts: int, file: Path) -> None:
    """Print the figures of 1,000 prompts with their 95 % intervals, and the verdicts on each template."""
    rows = lines_of(file)
    verdicts = [row["verdicts"] for row in rows]
    click.echo(f"{len(rows)} of {prompts} rewritten, read by {min(map(len, verdicts))}")
    click.echo(_of_1000("harmed", map(harmed, verdicts), prompts))
    click.echo(_of_1000("improved by both readers (or the only one)", map(improved, verdicts), prompts))
    click.echo(_of_1000("improved by either", ("better" in one[:2] for one in verdicts), prompts))
    click.echo(f"intents right {sum(row['intent_right'] for row in rows) / len(rows):.3f}\n")
    by_template: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        kind = "harmed" if harmed(row["verdicts"]) else "improved" if improved(row["verdicts"]) else "other"
        by_template[row["template"]][kind] += 1
    kinds = ("improved", "other", "harmed")
    ranked = sorted(by_template.items(), key=lambda item: -item[1].total())
    click.echo(table(["template", *kinds], [[name, *(str(count[kind]) for kind in kinds)] for name, count in ranked]))


def _of_1000(name: str, flags: Iterable[bool], prompts: int) -> str:
    count = sum(flags)
    low, high = wilson(count, prompts)
    return f"{name}: {count}, of 1,000: {1000 * count / prompts:.1f} [{1000 * low:.1f}, {1000 * high:.1f}]"


if __name__ == "__main__":
    main()
