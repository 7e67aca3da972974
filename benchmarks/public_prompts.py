"""Draws prompts of strangers from public evaluation sets, for `strangers.py --data FOLDER`.

    python benchmarks/public_prompts.py first --alpaca-eval model_outputs.json --mt-bench question.jsonl \
        --align-bench data_v1.1_release.jsonl --leave-out FOLDER/real_prompts/dev.jsonl --out FOLDER2
    python benchmarks/public_prompts.py later --lot third --auto-j testdata_pairwise.jsonl --belle eval_set.json \
        --align-bench data_v1.1_release.jsonl --leave-out FOLDER/real_prompts/dev.jsonl --out FOLDER3
    python benchmarks/public_prompts.py later --lot fourth --wizard-lm WizardLM_testset.jsonl --auto-j ... --out FOLDER4
    python benchmarks/public_prompts.py fifth --bpo val.json --dolly dolly_eval.json --belle eval_set.json \
        --leave-out FOLDER/real_prompts/dev.jsonl --leave-out FOLDER4/real_prompts/dev.jsonl --out FOLDER5
    python benchmarks/public_prompts.py sixth --share-gpt ShareGPT_V3_filtered_500.json --urs data_all.csv \
        --lima lima_test_set.jsonl --flask flask_evaluation.jsonl --belle eval_set.json --leave-out ... --out FOLDER6

The files are those of tatsu-lab/alpaca_eval (`results/FsfairX-Zephyr-Chat-v0.1/model_outputs.json`; its sets
`helpful_base`, `oasst` and `vicuna`), lm-sys/FastChat (`fastchat/llm_judge/data/mt_bench/question.jsonl`, first turns),
GAIR-NLP/auto-j (`data/test/testdata_pairwise.jsonl`), LianjiaTech/BELLE (`eval/eval_set.json`), THUDM/AlignBench
(`data/data_v1.1_release.jsonl`; the first lot holds the 240 questions whose ids have the lowest SHA-256, the second and
the third the next 160 each), nlpxucan/WizardLM (`WizardLM/data/WizardLM_testset.jsonl`, whole, in the fourth lot
alone) and thu-coai/BPO (`data/train_data/val.json` at commit eef4e1f and `data/testset/dolly_eval.json`, whole, in the
fifth lot, with 300 more of BELLE). The sixth lot holds the rest of BELLE and what comes first by SHA-256 of these:
ml-energy/leaderboard-v2 (`benchmark/llm_text_generation/chat/sharegpt/ShareGPT_V3_filtered_500.json` at c3af7f3; the
240 first turns), Alice1998/URS (`data/data_all.csv` at 325eca9; 150 English and 30 Chinese), tianyi-lab/Cherry_LLM
(`evaluation/test_data/lima_test_set.jsonl` at 01fac8d, the test prompts of LIMA; 110) and kaistAI/FLASK
(`evaluation_set/flask_evaluation.jsonl` at 3b4e22b; 60 of its academic rows). BELLE is at 645084d there. No text of
them is part of this project. Prompts that also stand in a file of `--leave-out` are left out. The sixth lot holds no
prompt of more than 4,000 characters, and none twice, whatever the case of its letters and its white space.
"""

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

SETS = ("helpful_base", "oasst", "vicuna")
FIRST_CHINESE = slice(0, 240)
# of the rows in the order of their hashes: auto-j, AlignBench, BELLE
LOTS = {
    "second": (slice(0, 420), slice(240, 400), slice(0, 140)),
    "third": (slice(420, 840), slice(400, 560), slice(140, 280)),
    "fourth": (slice(840, None), slice(560, None), slice(280, 440)),
}
FIFTH_CHINESE = slice(440, 740)
SIXTH_CHINESE = slice(740, None)
SIXTH_SHARE_GPT = 240
SIXTH_URS = {"EN": 150, "CN": 30}
SIXTH_LIMA = 110
SIXTH_FLASK = 60
LONGEST = 4000
# what FLASK holds of the sets that other lots use, or that Foreword was tuned on
KNOWN_TASKS = ("Self-instruct", "Koala", "Vicuna", "Wizardlm", "Bbh", "Gsm8k")
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)

Row = dict[str, str]


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").split("\n") if line.strip()]


def by_hash(rows: Iterable[Row]) -> list[Row]:
    """Order the rows by the SHA-256 of what follows the first hyphen of their ids."""
    return sorted(rows, key=lambda row: hashlib.sha256(row["id"].partition("-")[2].encode()).hexdigest())


def alpaca_eval_rows(file: Path) -> Iterator[Row]:
    for place, row in enumerate(json.loads(file.read_text("utf-8"))):
        if row["dataset"] in SETS:
            yield {"id": f"ae-{place}", "lang": "en", "kind": row["dataset"], "text": row["instruction"]}


def mt_bench_rows(file: Path) -> Iterator[Row]:
    for row in lines_of(file):
        yield {"id": f"mt-{row['question_id']}", "lang": "en", "kind": "mt_bench", "text": row["turns"][0]}


def align_bench_rows(file: Path) -> list[Row]:
    rows = lines_of(file)
    return by_hash(
        {"id": f"al-{row['question_id']}", "lang": "zh", "kind": "alignbench", "text": row["question"]} for row in rows
    )


def auto_j_rows(file: Path) -> list[Row]:
    """Return auto-j's queries once each, with the place at which each comes first in the file."""
    rows = {row["prompt"]: (place, row["scenario"]) for place, row in reversed([*enumerate(lines_of(file))])}
    return by_hash(
        {"id": f"aj-{place}", "lang": "en", "kind": kind, "text": text} for text, (place, kind) in rows.items()
    )


def belle_rows(file: Path) -> list[Row]:
    """Return BELLE's questions. They have no ids, so their place in the file counts."""
    rows = enumerate(lines_of(file))
    return by_hash(
        {"id": f"be-{place}", "lang": "zh", "kind": row["class"], "text": row["question"]} for place, row in rows
    )


def wizard_lm_rows(file: Path) -> Iterator[Row]:
    for row in lines_of(file):
        yield {"id": f"wz-{row['idx']}", "lang": "en", "kind": row["Skill"], "text": row["Instruction"]}


def bpo_rows(file: Path) -> Iterator[Row]:
    """Yield the prompts that BPO validates with. They come from Open Assistant, HH-RLHF, Chatbot Arena and Alpaca."""
    for place, row in enumerate(json.loads(file.read_text("utf-8"))):
        yield {"id": f"bv-{place}", "lang": "en", "kind": str(row.get("source", "")), "text": with_context(row)}


def dolly_rows(file: Path) -> Iterator[Row]:
    for row in json.loads(file.read_text("utf-8")):
        yield {"id": f"do-{row['idx']}", "lang": "en", "kind": row["category"], "text": with_context(row)}


def share_gpt_rows(file: Path) -> list[Row]:
    """Return what began a conversation, as far as it is in English. The ids of later parts do not end with `_0`."""
    rows = json.loads(file.read_text("utf-8"))
    firsts = ((row["id"], row["conversations"][0]["value"]) for row in rows if row["id"].endswith("_0"))
    return by_hash(
        {"id": f"sg-{id}", "lang": "en", "kind": "sharegpt", "text": text} for id, text in firsts if mostly_ascii(text)
    )


def mostly_ascii(text: str) -> bool:
    return sum(letter.isascii() for letter in text) >= 0.98 * len(text)


def urs_rows(file: Path, language: str) -> list[Row]:
    """Return what people reported that they had asked a model, in `EN` or `CN`."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = [*csv.DictReader(lines)]
    return by_hash(
        {
            "id": f"ur-{place}",
            "lang": {"EN": "en", "CN": "zh"}[language],
            "kind": row["user_intent"],
            "text": row["question"],
        }
        for place, row in enumerate(rows)
        if row["language"] == language
    )


def lima_rows(file: Path) -> list[Row]:
    return by_hash(
        {"id": f"li-{place}", "lang": "en", "kind": "lima", "text": row["conversations"]}
        for place, row in enumerate(lines_of(file))
    )


def flask_rows(file: Path) -> list[Row]:
    return by_hash(
        {"id": f"fl-{row['idx']}", "lang": "en", "kind": row["task"], "text": row["instruction"]}
        for row in lines_of(file)
        if row["task"] not in KNOWN_TASKS
    )


def with_context(row: dict[str, Any]) -> str:
    """Return the instruction, with the text that belongs to it below."""
    return "\n\n".join(part.strip() for part in (row["instruction"], row.get("context") or "") if part.strip())


def once(rows: Iterable[Row], leave_out: Iterable[Path]) -> Iterator[Row]:
    """Yield the rows that are not too long and whose texts, folded, came neither before nor in `leave_out`."""
    seen = {folded(row["text"]) for file in leave_out for row in lines_of(file)}
    for row in rows:
        text = folded(row["text"])
        if text and len(row["text"]) <= LONGEST and text not in seen:
            seen.add(text)
            yield row


def folded(text: str) -> str:
    return " ".join(text.casefold().split())


def write(rows: Iterable[Row], leave_out: Iterable[Path], out: Path) -> None:
    known = {row["text"].strip() for file in leave_out for row in lines_of(file)}
    kept = [row for row in rows if row["text"].strip() not in known]
    file = out / "real_prompts/dev.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept), "utf-8")
    click.echo(f"{len(kept)} prompts in {file}")


@click.group()
def main() -> None:
    """Write the prompts as OUT/real_prompts/dev.jsonl."""


@main.command()
@click.option("--alpaca-eval", required=True, type=FILE)
@click.option("--mt-bench", required=True, type=FILE)
@click.option("--align-bench", required=True, type=FILE)
@click.option("--leave-out", type=FILE, multiple=True, help="A file with prompts that must not be drawn.")
@click.option("--out", required=True, type=FOLDER)
def first(alpaca_eval: Path, mt_bench: Path, align_bench: Path, leave_out: tuple[Path, ...], out: Path) -> None:
    """Draw the first lot."""
    chinese = align_bench_rows(align_bench)[FIRST_CHINESE]
    write((*alpaca_eval_rows(alpaca_eval), *mt_bench_rows(mt_bench), *chinese), leave_out, out)


@main.command()
@click.option("--lot", type=click.Choice(list(LOTS)), required=True)
@click.option("--auto-j", required=True, type=FILE)
@click.option("--belle", required=True, type=FILE)
@click.option("--align-bench", required=True, type=FILE)
@click.option("--wizard-lm", type=FILE, help="For the fourth lot.")
@click.option("--leave-out", type=FILE, multiple=True, help="A file with prompts that must not be drawn.")
@click.option("--out", required=True, type=FOLDER)
def later(
    lot: str,
    auto_j: Path,
    belle: Path,
    align_bench: Path,
    wizard_lm: Path | None,
    leave_out: tuple[Path, ...],
    out: Path,
) -> None:
    """Draw the second, the third or the fourth lot."""
    if (lot == "fourth") != (wizard_lm is not None):
        raise click.UsageError("the fourth lot takes --wizard-lm, and no other lot does")
    places = zip((auto_j_rows(auto_j), align_bench_rows(align_bench), belle_rows(belle)), LOTS[lot], strict=True)
    rows = [row for rows, place in places for row in rows[place]]
    write([*rows, *(wizard_lm_rows(wizard_lm) if wizard_lm else ())], leave_out, out)


@main.command()
@click.option("--bpo", required=True, type=FILE)
@click.option("--dolly", required=True, type=FILE)
@click.option("--belle", required=True, type=FILE)
@click.option("--leave-out", type=FILE, multiple=True, help="A file with prompts that must not be drawn.")
@click.option("--out", required=True, type=FOLDER)
def fifth(bpo: Path, dolly: Path, belle: Path, leave_out: tuple[Path, ...], out: Path) -> None:
    """Draw the fifth lot."""
    write((*bpo_rows(bpo), *dolly_rows(dolly), *belle_rows(belle)[FIFTH_CHINESE]), leave_out, out)


@main.command()
@click.option("--share-gpt", required=True, type=FILE)
@click.option("--urs", required=True, type=FILE)
@click.option("--lima", required=True, type=FILE)
@click.option("--flask", required=True, type=FILE)
@click.option("--belle", required=True, type=FILE)
@click.option("--leave-out", type=FILE, multiple=True, help="A file with prompts that must not be drawn.")
@click.option("--out", required=True, type=FOLDER)
def sixth(
    share_gpt: Path, urs: Path, lima: Path, flask: Path, belle: Path, leave_out: tuple[Path, ...], out: Path
) -> None:
    """Draw the sixth lot."""
    rows = [
        *share_gpt_rows(share_gpt)[:SIXTH_SHARE_GPT],
        *(row for language, count in SIXTH_URS.items() for row in urs_rows(urs, language)[:count]),
        *lima_rows(lima)[:SIXTH_LIMA],
        *flask_rows(flask)[:SIXTH_FLASK],
        *belle_rows(belle)[SIXTH_CHINESE],
    ]
    write(once(rows, leave_out), leave_out, out)


if __name__ == "__main__":
    main()
