"""Messages that no application of `benchmarks/discover.py` sends: questions and tasks from other public data sets."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

FIELDS = ("text", "question", "input", "prompt", "query")
FOLDERS = ("gsm8k", "bbh", "ifeval", "bpo", "nq_open", "banking77", "clinc150")


def messages(data: Path, most: int) -> list[str]:
    """Return up to `most` distinct messages. Tasks come first, because they look most like prompts."""
    seen: dict[str, None] = {}
    for folder in FOLDERS:
        for file in sorted((data / folder).rglob("*.json*")):
            for row in _rows(file):
                text = next((row[field] for field in FIELDS if isinstance(row.get(field), str)), "")
                if text:
                    seen.setdefault(text)
    return list(seen)[:most]


def _rows(file: Path) -> Iterator[dict[str, object]]:
    with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as lines:
        for line in lines:
            if line.lstrip().startswith("{"):
                try:
                    row = json.loads(line)
                except json.JSONDecodeError:
                    return
                yield row


def long_texts(data: Path, chars: int, count: int) -> list[str]:
    """Return pieces of a novel."""
    novel = "\n".join(file.read_text("utf-8") for file in sorted((data / "long_texts").glob("*.txt")))
    return [novel[at * chars : (at + 1) * chars] for at in range(count)]
