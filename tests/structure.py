"""Prints where the code gets long, crowded or ambiguous: a report, not a rule.

The ten longest files and functions, the ten folders with the most modules, and every class name
that two files define.
"""

import ast
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOMS = ("gateway", "offline_jobs")


def modules() -> Iterator[tuple[Path, str, ast.Module]]:
    for path in (path for room in ROOMS for path in sorted(Path(room).rglob("*.py"))):
        source = path.read_text("utf-8")
        yield path, source, ast.parse(source)


def main() -> None:
    files: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    folders: Counter[str] = Counter()
    classes: defaultdict[str, list[str]] = defaultdict(list)
    for path, source, tree in modules():
        files[str(path)] = source.count("\n")
        if path.name != "__init__.py":
            folders[str(path.parent)] += 1
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                functions[f"{path}:{node.lineno} {node.name}"] = length
            elif isinstance(node, ast.ClassDef):
                classes[node.name.lstrip("_")].append(f"{path}:{node.lineno}")
    for title, counts in (("longest files", files), ("longest functions", functions), ("widest folders", folders)):
        sys.stdout.write(f"{title}: " + ", ".join(f"{n} {name}" for name, n in counts.most_common(10)) + "\n")
    doubled = [f"{name} ({', '.join(places)})" for name, places in sorted(classes.items()) if len(places) > 1]
    sys.stdout.write(f"class names used twice: {'; '.join(doubled) or 'none'}\n")


if __name__ == "__main__":
    main()
