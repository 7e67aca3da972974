"""Joins the verdicts of blind readers, and prints how many of 1,000 prompts were harmed and improved.

    python benchmarks/judged.py join --key key.json --reader a.jsonl --reader b.jsonl [--third c.jsonl] \
        --out benchmarks/verdicts/public-fourth.jsonl
    python benchmarks/judged.py show --prompts 826 benchmarks/verdicts/public-fourth.jsonl
    python benchmarks/judged.py templates [--decisions decisions.jsonl] benchmarks/verdicts/{half,public}-*.jsonl
    python benchmarks/judged.py forward benchmarks/verdicts/half-a.jsonl benchmarks/verdicts/half-b.jsonl ...

The key has the `no`, `id`, `template` and `confidence` of each rewritten prompt. It is made with the samples and not
shown to readers. A reader writes a `no`, a `verdict` (better, same, worse or wrong) and `intent_right` for each. The
third reader's verdicts are needed only where the first two disagree about harm. `templates` says which templates must
be proven (`mode: proven` in the head); the decisions are lines of `strangers.py` on the same prompts.
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
GAINS_FOR_A_HARM = 3
FEWEST_GAINS = 2
"""A template with fewer gains is not excused: that it leaves the harmed prompts alone now says nothing of others."""
FEW = 10
"""Fewer prompts say too little of a template that gained nothing."""

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


@main.command()
@click.option("--decisions", type=FILE, help="What the present version does with the prompts: lines of strangers.py.")
@click.argument("files", type=FILE, nargs=-1, required=True)
def templates(decisions: Path | None, files: tuple[Path, ...]) -> None:
    """Print the verdicts on each template, and whether it may rewrite in mode `on` without proof.

    A template that harmed must be proven if it has fewer than 3 improvements for each harm. It is excused if, of the
    prompts that it still rewrites, it improved at least 2, and 3 for each harm. One that neither improved nor harmed
    any of fewer than 10 prompts follows the other language of its family.
    """
    rows = [row for file in files for row in lines_of(file)]
    still = {(row["id"], row["template"]) for row in lines_of(decisions) if _rewritten(row)} if decisions else None
    by_template: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_template[row["template"]].append(row)
    every = {name: _gain_and_harm(own) for name, own in by_template.items()}
    kept = {
        name: every[name] if still is None else _gain_and_harm([row for row in own if (row["id"], name) in still])
        for name, own in by_template.items()
    }
    verdicts = {name: _rule(every[name], kept[name]) for name in by_template}
    cells = []
    for name, own in sorted(by_template.items(), key=lambda item: -len(item[1])):
        family = name.rpartition(".")[0]
        others = [other for other in verdicts if other != name and other.rpartition(".")[0] == family]
        follows = len(own) < FEW and every[name] == (0, 0) and others
        verdict = f"{verdicts[others[0]]}, as {others[0]}" if follows else verdicts[name]
        cells.append([name, str(len(own)), _ratio(every[name]), _ratio(kept[name]), verdict])
    click.echo(table(["template", "read", "improved : harmed", "of those still rewritten", "mode `on`"], cells))


@main.command()
@click.argument("files", type=FILE, nargs=-1, required=True)
def forward(files: tuple[Path, ...]) -> None:
    """Print what the rule of `templates` would have kept of each lot, by the verdicts on the lots before it alone.

    The files come in the order in which they were read. Nothing is excused here, since the decisions of the versions of
    that time are not stored.
    """
    before: list[Row] = []
    cells = []
    for file in files:
        rows = lines_of(file)
        known = {row["template"] for row in before}
        passed = {name for name in known if _pays(_gain_and_harm([row for row in before if row["template"] == name]))}
        kept = [row for row in rows if row["template"] in passed or row["template"] not in known]
        counts = [str(len(rows)), _ratio(_gain_and_harm(rows)), str(len(kept)), _ratio(_gain_and_harm(kept))]
        cells.append([file.stem, *counts])
        before += rows
    click.echo(table(["lot", "rewritten", "improved : harmed", "by the rule", "improved : harmed"], cells))


def _rewritten(decision: Row) -> bool:
    """Return whether the prompt is rewritten, or would be if the template needed no proof."""
    return decision["changed"] or any(": shadow: " in note for note in decision["notes"])


def _gain_and_harm(rows: Sequence[Row]) -> tuple[int, int]:
    verdicts = [row["verdicts"] for row in rows]
    return sum(map(improved, verdicts)), sum(map(harmed, verdicts))


def _ratio(count: tuple[int, int]) -> str:
    return f"{count[0]} : {count[1]}"


def _rule(every: tuple[int, int], kept: tuple[int, int]) -> str:
    """Return the rule's verdict, from the counts of all prompts and of those that the template still rewrites."""
    if _pays(every):
        return "yes"
    return "yes, as it is now" if kept[0] >= FEWEST_GAINS and _pays(kept) else "proven"


def _pays(count: tuple[int, int]) -> bool:
    gain, harm = count
    return gain >= GAINS_FOR_A_HARM * harm


def _of_1000(name: str, flags: Iterable[bool], prompts: int) -> str:
    count = sum(flags)
    low, high = wilson(count, prompts)
    return f"{name}: {count}, of 1,000: {1000 * count / prompts:.1f} [{1000 * low:.1f}, {1000 * high:.1f}]"


if __name__ == "__main__":
    main()
