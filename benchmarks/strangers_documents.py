"""Reads documents that somebody else made, and answers questions from them. Compares with markitdown, unstructured and
an old version.

    .venv/bin/python benchmarks/strangers_documents.py CORPUS
    .venv/bin/python benchmarks/strangers_documents.py CORPUS --peers ~/peers/bin/python --old 142e2b9 --questions

`CORPUS` is a folder with `files/`, `features.jsonl` and `questions.jsonl`, as `corpora/strangers_documents.py` writes
it. Whoever wrote it had not seen our readers. Without `features.jsonl`, as `corpora/office_documents.py` and
`table_questions.py` write a folder, only the questions are asked.

A feature is a check of one file. `together`: one chunk holds all texts. `contains`: some chunk holds the text.
`absent`: none does. `once`: it stands once. `order`: the texts follow each other. The right chunk of a question
comes from its file and holds all its texts: the value, the row's other cells, and the titles of the columns. Chunks of
others are made from their output by our chunker. White space, the bars of tables and Markdown's marks do not count.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

MARKS = re.compile(r"[\s|*\\`#]+")
FORMATTING = re.compile(r"[\u00ad\u200b]")
OURS = """
import json, sys
from pathlib import Path
try:
    from gateway.context.readers import read
    from gateway.context.chunk import Cut, chunk
except ImportError:
    from gateway.context.reading.readers import read
    from gateway.context.reading.chunk import Cut, chunk
folder, results = Path(sys.argv[1]), {}
for path in sorted(path for path in folder.rglob("*") if path.is_file()):
    name = str(path.relative_to(folder))
    try:
        document = read(path)
        if len(sys.argv) > 2:
            from gateway.context.reading.recognition import Recognition
            document = read(path, "", Recognition(tuple(sys.argv[2:])))
        pieces = chunk(document, "c", name, lambda text: len(text) // 4 + 1, Cut(200), 256)
        results[name] = [[piece.heading, piece.text] for piece in pieces]
    except Exception as error:
        results[name] = str(error)
print(json.dumps(results))
"""
MARKITDOWN = """
import json, sys
from pathlib import Path
from markitdown import MarkItDown
reader, folder, results = MarkItDown(enable_plugins=False), Path(sys.argv[1]), {}
for path in sorted(path for path in folder.rglob("*") if path.is_file()):
    name = str(path.relative_to(folder))
    try:
        results[name] = reader.convert(str(path)).text_content
    except Exception as error:
        results[name] = None
print(json.dumps(results))
"""
UNSTRUCTURED = """
import json, sys
from pathlib import Path
from unstructured.partition.auto import partition
folder, results = Path(sys.argv[1]), {}
def shown(element):
    table = getattr(element.metadata, "text_as_html", None)
    if element.category == "Title":
        return f"# {element.text}"
    return table if element.category == "Table" and table else element.text
for path in sorted(path for path in folder.rglob("*") if path.is_file()):
    name = str(path.relative_to(folder))
    try:
        results[name] = "\\n\\n".join(shown(element) for element in partition(filename=str(path), strategy="fast"))
    except Exception as error:
        results[name] = None
print(json.dumps(results))
"""
Chunks = Mapping[str, "list[list[str]] | str"]
"""For each file its chunks (heading and text), or why it could not be read."""


def plain(text: str) -> str:
    return MARKS.sub(" ", FORMATTING.sub("", text)).strip()


def is_right(feature: Mapping[str, Any], chunks: list[list[str]] | str) -> bool:
    if isinstance(chunks, str):
        return False
    wholes = [plain(f"{heading}\n{text}") for heading, text in chunks]
    everything = plain("\n".join(text for _, text in chunks))
    texts = [plain(text) for text in feature.get("texts", [feature.get("text", "")])]
    match feature["check"]:
        case "together":
            return any(all(text in whole for text in texts) for whole in wholes)
        case "contains":
            return any(texts[0] in whole for whole in wholes) or texts[0] in everything
        case "absent":
            return not any(texts[0] in whole for whole in wholes)
        case "once":
            return everything.count(texts[0]) == 1
        case "order":
            return _in_order(texts, everything)
        case other:
            raise ValueError(f"unknown check {other!r}")


def _in_order(texts: Iterable[str], everything: str) -> bool:
    place = 0
    for text in texts:
        place = everything.find(text, place)
        if place < 0:
            return False
        place += len(text)
    return True


def ours(folder: Path, *languages: str) -> Chunks:
    """`languages`: those in which text in pictures is recognised."""
    return dict(_run([sys.executable, "-c", OURS, str(folder), *languages], ROOT))


def old(folder: Path, commit: str) -> Chunks:
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place) / "tree"
        subprocess.run(["git", "-C", str(ROOT), "worktree", "add", "-q", "--detach", str(tree), commit], check=True)
        try:
            return dict(_run([sys.executable, "-c", OURS, str(folder)], tree))
        finally:
            subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(tree)], check=True)


def peer(folder: Path, python: str, code: str) -> Chunks:
    """Convert the files with another library, and cut its output with our chunker."""
    from gateway.context.reading.chunk import Cut, chunk
    from gateway.context.reading.formats.html import read_html
    from gateway.context.reading.formats.markdown import read_markdown

    results: dict[str, list[list[str]] | str] = {}
    for name, text in _run([python, "-c", code, str(folder)], ROOT).items():
        if text is None:
            results[name] = "not read"
            continue
        # tables of unstructured are HTML; our reader writes them as rows
        text = re.sub(r"<table>.*?</table>", lambda m: read_html(Path("t.html"), m[0].encode()).text, text, flags=re.S)
        document = read_markdown(Path(name), text.encode("utf-8", "replace"))
        pieces = chunk(document, "c", name, lambda text: len(text) // 4 + 1, Cut(200), 256)
        results[name] = [[piece.heading, piece.text] for piece in pieces]
    return results


def _run(command: Sequence[str], tree: Path) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tree, check=False, timeout=1800)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    results: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return results


def compare(corpus: Path, systems: Mapping[str, Chunks], *, every: bool) -> None:
    features = [json.loads(line) for line in (corpus / "features.jsonl").read_text("utf-8").splitlines()]
    marks = [[is_right(feature, chunks[feature["file"]]) for chunks in systems.values()] for feature in features]
    for column in ("kind", "check"):
        click.echo(f"\n| {column} | features | {' | '.join(systems)} |\n|---|---:|{'---:|' * len(systems)}")
        for value, count in sorted(Counter(feature[column] for feature in features).items()):
            rows = [row for feature, row in zip(features, marks, strict=True) if feature[column] == value]
            click.echo(f"| {value} | {count} | {' | '.join(str(sum(each)) for each in zip(*rows, strict=True))} |")
    shares = [sum(each) for each in zip(*marks, strict=True)]
    total = " | ".join(f"{right} ({right / len(features):.3f})" for right in shares)
    click.echo(f"| all | {len(features)} | {total} |\n")
    for feature, row in zip(features, marks, strict=True):
        if not row[0] or every:
            texts = feature.get("texts", feature.get("text"))
            verdicts = ["right" if good else "wrong" for good in row]
            click.echo(f"{verdicts} {feature['file']}: {feature['feature']} ({feature['check']}) {texts}")
    for name, chunks in systems.items():
        refused = [f"{file}: {reason}" for file, reason in chunks.items() if isinstance(reason, str)]
        click.echo(f"# {name} could not read {len(refused)} of {len(chunks)} files: {'; '.join(refused)[:3000]}")


def answer(corpus: Path) -> None:
    """Search for the questions' chunks as a vector store's search does, all files in one collection."""
    from benchmarks.retrieval import bench
    from gateway.context.ingest.ingest import IngestItem
    from gateway.context.store.collections import OPERATOR, Wish

    questions = [json.loads(line) for line in (corpus / "questions.jsonl").read_text("utf-8").splitlines()]
    folder = corpus / "files"
    with bench() as made:
        collection = made.collections.find_or_create("strangers", OPERATOR)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        made.ingest().add(collection, [IngestItem(path, str(path.relative_to(folder))) for path in paths])
        click.echo(f"\n{len(paths)} files, {made.collections.documents(collection.id).count()} chunks")
        places: list[int] = []
        for question, vector in zip(questions, made.vectors([one["question"] for one in questions]), strict=True):
            hits = made.collections.look_up(collection, Wish(question["question"], vector, 20))
            wanted = [plain(text) for text in question["together"]]
            right = [
                rank
                for rank, hit in enumerate(hits, 1)
                if hit.document.source == question["file"]
                and all(text in plain(f"{hit.chunk.heading}\n{hit.chunk.text}") for text in wanted)
            ]
            places.append(right[0] if right else 99)
            if places[-1] > 1:
                first = next((rank for rank, hit in enumerate(hits, 1) if hit.document.source == question["file"]), 99)
                click.echo(f"{question['id']} at {places[-1]} (its file at {first}): {question['question']} {wanted}")
    for most in (1, 5, 20):
        good = sum(place <= most for place in places)
        click.echo(f"right chunk within {most}: {good} of {len(places)} ({good / len(places):.3f})")


@click.command(help=__doc__)
@click.argument("corpus", type=click.Path(path_type=Path, exists=True))
@click.option("--peers", metavar="PYTHON", help="A Python that has markitdown[all] and unstructured.")
@click.option("--old", "commit", metavar="COMMIT", help="An earlier version of this repository.")
@click.option("--questions", is_flag=True, help="Search for the questions too.")
@click.option("--ocr", multiple=True, help="Recognise text in pictures in this language. Repeatable.")
@click.option("--every", is_flag=True, help="List all features, and not only those that we read wrongly.")
def main(corpus: Path, peers: str, commit: str, questions: bool, every: bool, ocr: tuple[str, ...]) -> None:
    folder = corpus / "files"
    if not (corpus / "features.jsonl").exists():
        answer(corpus)
        return
    systems: dict[str, Chunks] = {"ours": ours(folder, *ocr)}
    if peers:
        systems["markitdown"] = peer(folder, peers, MARKITDOWN)
        systems["unstructured"] = peer(folder, peers, UNSTRUCTURED)
    if commit:
        systems["old"] = old(folder, commit)
    compare(corpus, systems, every=every)
    if questions:
        answer(corpus)


if __name__ == "__main__":
    main()
