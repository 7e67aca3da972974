"""Writes tables of Wikipedia as files, and the questions of FeTaQA about them, for `strangers_documents.py`.

    python benchmarks/table_questions.py fetaQA-v1_dev.jsonl FOLDER --most 330

One file a table, in turn HTML, CSV and Markdown. Questions with one to three highlighted rows are taken, in the order
of a hash. The right chunk holds the highlighted cells of the first of these rows.
"""

import csv
import hashlib
import html
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

MOST_ROWS = 3
Rows = Sequence[Sequence[str]]


def first_row(example: Mapping[str, Any]) -> int:
    """Return the number of the first highlighted row, or 0 if the question is not taken."""
    rows = {row for row, _ in example["highlighted_cell_ids"] if row > 0}
    return min(rows) if 1 <= len(rows) <= MOST_ROWS and len(example["highlighted_cell_ids"]) > 1 else 0


def as_html(page: str, section: str, rows: Rows) -> str:
    lines = []
    for number, row in enumerate(rows):
        tag = "td" if number else "th"
        lines.append("<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>")
    head = f"<html><head><title>{html.escape(page)}</title></head><body><h1>{html.escape(page)}</h1>"
    return f"{head}<h2>{html.escape(section)}</h2><table>{''.join(lines)}</table></body></html>"


def as_csv(_page: str, _section: str, rows: Rows) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()


def as_markdown(page: str, section: str, rows: Rows) -> str:
    lines = ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows]
    table = "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
    return f"# {page}\n\n## {section}\n\n{table}\n"


KINDS = (("html", as_html), ("csv", as_csv), ("md", as_markdown))


@click.command(help=__doc__)
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--most", default=330, show_default=True, help="The number of questions.")
def main(source: Path, folder: Path, most: int) -> None:
    examples = [json.loads(line) for line in source.read_text("utf-8").splitlines()]
    examples = [example for example in examples if first_row(example)]
    examples.sort(key=lambda example: hashlib.sha256(str(example["feta_id"]).encode()).hexdigest())
    (folder / "files").mkdir(parents=True, exist_ok=True)
    names: dict[tuple[str, str], str] = {}
    questions = []
    for example in examples[:most]:
        page, section = example["table_page_title"], example["table_section_title"]
        rows = [[" ".join(str(cell).split()) for cell in row] for row in example["table_array"]]
        if (page, section) not in names:
            kind, write = KINDS[example["feta_id"] % len(KINDS)]
            base = re.sub(r"[^\w .,()-]+", "_", f"{page} - {section}" if section else page)[:110]
            names[page, section] = f"{base}.{kind}"
            (folder / "files" / names[page, section]).write_text(write(page, section, rows), "utf-8")
        row = first_row(example)
        cells = [rows[line][column] for line, column in example["highlighted_cell_ids"] if line == row]
        together = [cell for cell in cells if cell]
        asked = {"id": str(example["feta_id"]), "question": example["question"], "file": names[page, section]}
        questions.append({**asked, "together": together})
    lines = "".join(json.dumps(question, ensure_ascii=False) + "\n" for question in questions)
    (folder / "questions.jsonl").write_text(lines, "utf-8")
    click.echo(f"{len(names)} files, {len(questions)} questions")


if __name__ == "__main__":
    main()
