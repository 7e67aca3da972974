"""Measures how short sections are cut: questions about a manual of 451 sections, most of a few lines.

    python benchmarks/manual_questions.py FOLDER

FOLDER holds `s10_manual_corpus.json` and `s10_50_questions.csv` of the data set of Nandy et al. (EMNLP 2021 Findings).
The manual becomes one HTML file. Each section is cut alone, then short ones together with their neighbours. Measured
are the CPU time of adding it, the share of the answer's sequences of four words that the best passages hold within a
number of tokens, and how often the first passage, and one of the first five, holds half of them.
"""

import csv
import html
import json
import re
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from retrieval import bench, filled, tell

from gateway.context.reading import chunk as cutting
from gateway.context.store.collections import Wish
from gateway.context.store.distinct import distinct

BUDGETS = (200, 500, 1000)
ROW = "| {:<34} | {:>7} | {:>7} | {:>7} | {:>7} | {:>7} | {:>7} | {:>7} |"


def page(title: str, sections: Mapping[str, Mapping[str, Any]]) -> str:
    """The manual as HTML: each section under a heading of its depth."""
    lines = [f"<html><head><title>{html.escape(title)}</title></head><body>"]
    for section in sections.values():
        level = min(6, 1 + section["section_hierarchy"].count(">"))
        lines.append(f"<h{level}>{html.escape(section['title'])}</h{level}>")
        lines += [f"<p>{html.escape(line)}</p>" for line in section["text"]]
    return "\n".join([*lines, "</body></html>"])


def fours(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[at : at + 4]) for at in range(max(1, len(words) - 3))}


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
def main(folder: Path) -> None:
    with (folder / "s10_50_questions.csv").open(encoding="utf-8-sig", newline="") as lines:
        asked = list(csv.DictReader(lines))
    sections = json.loads((folder / "s10_manual_corpus.json").read_text("utf-8"))
    with bench() as made, tempfile.TemporaryDirectory() as place:
        file = Path(place) / "manual.html"
        file.write_text(page("Manual", sections), "utf-8")
        vectors = made.vectors([one["question"] for one in asked])
        tell(ROW.format("sections", "chunks", "CPU s", *(f"in {budget}" for budget in BUDGETS), "first", "in five"))
        for name, share in (("each alone", 0.0), ("short ones joined", cutting.SHORT)):
            cutting.SHORT = share
            began = time.process_time()
            collection = made.add(name, [file])
            spent = f"{time.process_time() - began:.1f}"
            found = []
            for question, vector in zip(asked, vectors, strict=True):
                hits = made.collections.look_up(collection, Wish(question["question"], vector, 30))
                found.append(_shares(question["answer"], distinct([hit.chunk for hit in hits])))
            means = [f"{statistics.mean(column):.3f}" for column in zip(*found, strict=True)]
            tell(ROW.format(name, made.collections.documents(collection.id).count(), spent, *means))


def _shares(answer: str, chunks: Sequence[Any]) -> list[float]:
    wanted = fours(answer)
    held = [len(wanted & fours(chunk.text)) / len(wanted) for chunk in chunks]
    within = []
    for budget in BUDGETS:
        kept = filled(chunks, budget)
        within.append(len(wanted & set().union(*(fours(chunk.text) for chunk in kept))) / len(wanted))
    return [*within, float(held[0] >= 0.5), float(max(held[:5]) >= 0.5)]


if __name__ == "__main__":
    main()
