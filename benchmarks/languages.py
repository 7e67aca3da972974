"""Counts prompts in other languages that are taken for English or Chinese, and English and Chinese prompts that are
not.

    python benchmarks/languages.py [--data FOLDER]

FOLDER holds `real_prompts/dev.jsonl`, `clinc150/val.jsonl` and `banking77/dev.jsonl`. Missing files are skipped.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import process_time

import click
from harness.report import table

from gateway.prompt.language import detect

OTHERS = Path(__file__).parent / "prompts/other_languages.tsv"
SETS = ("real_prompts/dev.jsonl", "clinc150/val.jsonl", "banking77/dev.jsonl")


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), default=None)
def main(data: Path | None) -> None:
    """Print the figures of docs/benchmarks.md, section *Languages*."""
    detect.load_detector()
    with OTHERS.open(encoding="utf-8") as file:
        others = [row["prompt"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    taken = [text for text in others if detect.language_of(text)]
    click.echo(f"of {len(others)} prompts in 20 other languages, {len(taken)} are taken for ours: {', '.join(taken)}\n")
    if data:
        rows = [_compared(name, texts) for name in SETS if (texts := list(_texts(data / name)))]
        click.echo(table(["set", "prompts", "by the word lists alone", "with the detector", "µs of CPU"], rows))


def _compared(name: str, texts: Sequence[str]) -> list[str]:
    began = process_time()
    ours = sum(bool(detect.language_of(text)) for text in texts)
    spent = (process_time() - began) / len(texts)
    before, detect.SURE = detect.SURE, -1.0
    by_words = sum(bool(detect.language_of(text)) for text in texts)
    detect.SURE = before
    return [name, str(len(texts)), str(by_words), str(ours), f"{spent * 1e6:.0f}"]


def _texts(file: Path) -> Iterator[str]:
    if file.exists():
        yield from (json.loads(line)["text"] for line in file.read_text("utf-8").split("\n") if line)


if __name__ == "__main__":
    main()
