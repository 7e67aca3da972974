"""Measures whether comparing token by token finds more: token recall with and without `[reranker] kind = "maxsim"`.

    .venv/bin/python benchmarks/rerank.py --data FOLDER [--every 4]

FOLDER holds `chunking_eval/`. Each question reads thirty chunks, so by default only every fourth question is asked.
"""

import argparse
import json
import statistics
import time
from itertools import chain
from pathlib import Path

from retrieval import BUDGET, ROW, bench, recalls_of, tell

from gateway.context.embedding.maxsim import MaxSim, MaxSimSettings
from gateway.context.store.collections import Collections

WEIGHTS = (0.35, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--every", type=int, default=4)
    given = parser.parse_args()
    data = given.data / "chunking_eval"
    lines = (data / "questions_dev.jsonl").read_text("utf-8").splitlines()[:: given.every]
    questions = [json.loads(line) for line in lines]
    tell(f"Token recall within {BUDGET} tokens, {len(questions)} questions")
    tell(ROW.format("reranked", "not", *(f"by {weight}" for weight in WEIGHTS), "CPU s"))
    told: list[tuple[list[float], ...]] = []
    with bench() as made:
        plain = made.collections
        for corpus in sorted({question["corpus_id"] for question in questions}):
            collection = made.add(corpus, [data / f"{corpus}.md"])
            asked = [one for one in questions if one["corpus_id"] == corpus]
            pairs = list(zip(asked, made.vectors([one["question"] for one in asked]), strict=True))
            recalls = [recalls_of(made, collection, pairs, None)]
            began = time.process_time()
            for weight in WEIGHTS:
                ranker = MaxSim(MaxSimSettings(weight), made.embedder)
                made.collections = Collections(plain.catalog, plain.vectors, ranker)
                recalls.append(recalls_of(made, collection, pairs, None))
            each = (time.process_time() - began) / len(WEIGHTS) / len(pairs)
            made.collections = plain
            told.append(tuple(recalls))
            tell(ROW.format(corpus, *(f"{statistics.mean(one):.3f}" for one in recalls), f"{each:.2f}"))
    every = [statistics.mean(chain(*(one[at] for one in told))) for at in range(1 + len(WEIGHTS))]
    tell(ROW.format("all", *(f"{mean:.3f}" for mean in every), ""))


if __name__ == "__main__":
    main()
