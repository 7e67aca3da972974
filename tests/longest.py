"""Prints the ten longest files and functions: a report, not a rule."""

import ast
import sys
from pathlib import Path

ROOMS = ("gateway", "offline_jobs")


def main() -> None:
    files: list[tuple[int, str]] = []
    functions: list[tuple[int, str]] = []
    for path in (path for room in ROOMS for path in Path(room).rglob("*.py")):
        source = path.read_text("utf-8")
        files.append((source.count("\n"), str(path)))
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                functions.append((length, f"{path}:{node.lineno} {node.name}"))
    for title, found in (("files", files), ("functions", functions)):
        sys.stdout.write(f"longest {title}: " + ", ".join(f"{n} {name}" for n, name in sorted(found)[:-11:-1]) + "\n")


if __name__ == "__main__":
    main()
