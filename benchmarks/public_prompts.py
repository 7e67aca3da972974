"""Draws prompts of strangers from public evaluation sets, for `strangers.py --data FOLDER`.

    python benchmarks/public_prompts.py --alpaca-eval model_outputs.json --mt-bench question.jsonl \
        --align-bench data_v1.1_release.jsonl --leave-out FOLDER/real_prompts/dev.jsonl --out FOLDER2

The files are those of tatsu-lab/alpaca_eval (`results/FsfairX-Zephyr-Chat-v0.1/model_outputs.json`; its sets
`helpful_base`, `oasst` and `vicuna`), lm-sys/FastChat (`fastchat/llm_judge/data/mt_bench/question.jsonl`, first turns)
and THUDM/AlignBench (`data/data_v1.1_release.jsonl`; the 240 questions whose ids have the lowest SHA-256). No text of
them is part of this project. Prompts that also stand in `--leave-out` are left out.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

SETS = ("helpful_base", "oasst", "vicuna")
CHINESE = 240
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").split("\n") if line.strip()]


def english(alpaca_eval: Path, mt_bench: Path) -> Iterator[dict[str, str]]:
    for place, row in enumerate(json.loads(alpaca_eval.read_text("utf-8"))):
        if row["dataset"] in SETS:
            yield {"id": f"ae-{place}", "lang": "en", "kind": row["dataset"], "text": row["instruction"]}
    for row in lines_of(mt_bench):
        yield {"id": f"mt-{row['question_id']}", "lang": "en", "kind": "mt_bench", "text": row["turns"][0]}


def chinese(align_bench: Path) -> Iterator[dict[str, str]]:
    rows = sorted(lines_of(align_bench), key=lambda row: hashlib.sha256(str(row["question_id"]).encode()).hexdigest())
    for row in rows[:CHINESE]:
        yield {"id": f"al-{row['question_id']}", "lang": "zh", "kind": "alignbench", "text": row["question"]}


@click.command()
@click.option("--alpaca-eval", required=True, type=FILE)
@click.option("--mt-bench", required=True, type=FILE)
@click.option("--align-bench", required=True, type=FILE)
@click.option("--leave-out", type=FILE, help="A file with prompts that must not be drawn.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path))
def main(alpaca_eval: Path, mt_bench: Path, align_bench: Path, leave_out: Path | None, out: Path) -> None:
    """Write the prompts as OUT/real_prompts/dev.jsonl."""
    known = {row["text"].strip() for row in lines_of(leave_out)} if leave_out else set()
    rows = [row for row in (*english(alpaca_eval, mt_bench), *chinese(align_bench)) if row["text"].strip() not in known]
    file = out / "real_prompts/dev.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    click.echo(f"{len(rows)} prompts in {file}")


if __name__ == "__main__":
    main()
