"""Measures how much of everyday files is read correctly, by kind and feature. Compares with markitdown and an old
version.

    .venv/bin/python benchmarks/documents.py                                    # ours alone
    .venv/bin/python benchmarks/documents.py --markitdown ~/mk/bin/python --old 142e2b9
    .venv/bin/python benchmarks/documents.py --fuzz 2000

`corpus.py` has the files and the expected results. A feature is right if one chunk holds all strings that belong
together, no string is repeated that must occur once, and forbidden strings are absent.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
LIMIT, WINDOW = 200, 256
TIME_S = 60.0
"""The limit for a mutated file, by the clock of a machine that does other work too."""
CODE = """
import json, sys
from pathlib import Path
try:
    from gateway.context.readers import read
    from gateway.context.chunk import Cut, chunk
except ImportError:
    from gateway.context.reading.readers import read
    from gateway.context.reading.chunk import Cut, chunk
""" + (
    "results = {}\n"
    "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
    "    try:\n"
    "        pieces = chunk(read(path), 'c', path.name, lambda text: len(text) // 4 + 1, Cut(200), 256)\n"
    "        results[path.name] = [f'{piece.heading}\\n{piece.text}' for piece in pieces]\n"
    "    except Exception as error:\n"
    "        results[path.name] = str(error)\n"
    "print(json.dumps(results))\n"
)
MARKITDOWN_CODE = """
import json, sys
from pathlib import Path
from markitdown import MarkItDown
reader = MarkItDown(enable_plugins=False)
results = {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        results[path.name] = reader.convert(str(path)).text_content
    except Exception as error:
        results[path.name] = None
print(json.dumps(results))
"""


def count(text: str) -> int:
    return len(text) // 4 + 1


def ours(folder: Path) -> dict[str, Any]:
    return _run([sys.executable, "-c", CODE, str(folder)], {"PYTHONPATH": str(ROOT)})


def old(folder: Path, commit: str) -> dict[str, Any]:
    """Read and chunk the files with an earlier commit, in a work tree of its own."""
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place) / "tree"
        subprocess.run(["git", "-C", str(ROOT), "worktree", "add", "-q", "--detach", str(tree), commit], check=True)
        try:
            return _run([sys.executable, "-c", CODE, str(folder)], {"PYTHONPATH": str(tree)}, tree)
        finally:
            subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(tree)], check=True)


def markitdown(folder: Path, python: str) -> dict[str, Any]:
    """Convert the files to Markdown with markitdown, and cut it with our chunker."""
    from gateway.context.reading.chunk import Cut, chunk
    from gateway.context.reading.formats.markdown import read_markdown

    results: dict[str, Any] = {}
    for name, text in _run([python, "-c", MARKITDOWN_CODE, str(folder)], {}).items():
        if text is None:
            results[name] = "not read"
            continue
        document = read_markdown(Path(name), text.encode("utf-8", "replace"))
        pieces = chunk(document, "c", name, count, Cut(LIMIT), WINDOW)
        results[name] = [f"{piece.heading}\n{piece.text}" for piece in pieces]
    return results


def _run(command: list[str], environment: dict[str, str], folder: Path = ROOT) -> dict[str, Any]:
    began = time.perf_counter()
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, cwd=folder, check=False, timeout=900
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    click.echo(f"# {time.perf_counter() - began:.1f} s", err=True)
    results: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return results


def compare(options: argparse.Namespace) -> None:
    from benchmarks.corpus import cases

    made = cases()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for case in made:
            (folder / case.name).write_bytes(case.content)
        systems = {"ours": ours(folder)}
        if options.markitdown:
            systems["markitdown"] = markitdown(folder, options.markitdown)
        if options.old:
            systems["old"] = old(folder, options.old)
    click.echo(f"| kind | feature | {' | '.join(systems)} |\n|---|---|{'---|' * len(systems)}")
    right = Counter[str]()
    for case in made:
        marks = []
        for name, results in systems.items():
            good = case.is_right(results[case.name])
            right[name] += good
            refused = not isinstance(results[case.name], list)
            marks.append("right" if good else "*refused*" if refused else "**wrong**")
        click.echo(f"| {case.kind} | {case.feature} | {' | '.join(marks)} |")
    shares = " | ".join(f"{right[name]} ({right[name] / len(made):.2f})" for name in systems)
    click.echo(f"| all | {len(made)} features | {shares} |")


def fuzz(count_files: int, seed: int, folder: Path | None) -> None:
    """Read mutated files in the bounded parser process. None may crash it or take longer than its time."""
    from benchmarks.corpus import cases
    from gateway.context.reading.parse_process import ParseProcess
    from gateway.errors import CollectionError

    draw = random.Random(seed)
    made = [(case.name, case.content) for case in cases()]
    made += [(path.name, path.read_bytes()) for path in sorted(folder.rglob("*")) if path.is_file()] if folder else []
    kinds = {Path(name).suffix for name, _ in made}
    outcomes = Counter[str]()
    slowest = (0.0, "")
    parse = ParseProcess(time_s=TIME_S)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "file"
        for number in range(count_files):
            name, content = draw.choice(made)
            path.write_bytes(mutated(content, draw.choice(made)[1], draw))
            began = time.perf_counter()
            try:
                parse(path, name)
                outcome = "read"
            except CollectionError as error:
                bad = "longer than" in str(error) or "crashed" in str(error)
                outcome = "CRASHED OR HUNG" if bad else "refused"
                if bad:
                    click.echo(f"{name}, file {number}: {error}")
            outcomes[outcome] += 1
            slowest = max(slowest, (time.perf_counter() - began, name))
            if number % 1000 == 999:
                click.echo(f"{number + 1}: {dict(outcomes)}", err=True)
    parse.close()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    click.echo(
        f"{count_files} mutated files of {len(kinds)} kinds, {len(made)} originals: {dict(outcomes)}; the slowest "
        f"{slowest[0]:.2f} s, of {slowest[1]}; {used.ru_utime + used.ru_stime:.0f} s CPU, {used.ru_maxrss // 1024} MB"
    )


def mutated(content: bytes, other: bytes, draw: random.Random) -> bytes:
    """Change, cut, repeat or insert bytes at a few places, or put in bytes of another file."""
    raw = bytearray(content)
    for _ in range(draw.randint(1, 12)):
        place = draw.randrange(len(raw) + 1)
        size = draw.choice((1, 2, 8, 64, 512))
        way = draw.randrange(5)
        if way == 0 and place < len(raw):
            raw[place] = draw.randrange(256)
        elif way == 1:
            del raw[place : place + size]
        elif way == 2:
            raw[place:place] = raw[place : place + size] * draw.randint(1, 20)
        elif way == 3:
            raw[place:place] = draw.randbytes(size)
        else:
            start = draw.randrange(len(other) + 1)
            raw[place : place + draw.choice((0, size))] = other[start : start + 8 * size]
    return bytes(raw)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markitdown", metavar="PYTHON", help="a Python that has markitdown[all]")
    parser.add_argument("--old", metavar="COMMIT", help="an earlier version of this repository")
    parser.add_argument("--fuzz", type=int, metavar="FILES", help="read this many mutated files instead")
    parser.add_argument("--files", type=Path, metavar="FOLDER", help="mutate the files of this folder too")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    if options.fuzz:
        fuzz(options.fuzz, options.seed, options.files)
    else:
        compare(options)


if __name__ == "__main__":
    main()
