"""Checks which calls of common clients the gateway serves correctly, with the local engine and with a remote backend.

The clients are not dependencies of this project. Python clients have an environment of their own, and Node clients a
folder of packages. The remote backend is scripted (`harness/scripted_upstream.py`): a call is right if the client
understands the answer. The local engine is the default one, whose small model answers by itself.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import click
from harness import foreword
from harness.processes import HOST, Process, free_port
from harness.report import table

HERE = Path(__file__).resolve().parent
PROGRAMS = HERE / "client_programs"
CONFIG = (
    foreword.LOCAL
    + foreword.EMBEDDER
    + """
[backends.embeddings]
kind = "embedder"
name = "all-minilm-l6-v2"
[store]
kind = "exact"
[prompt]
mode = "off"
templates = []
[backends.scripted]
kind = "openai"
base_url = "http://{host}:{upstream}/v1"
models = ["gpt-scripted", "embedding-scripted"]
[backends.anthropic]
kind = "anthropic"
base_url = "http://{host}:{upstream}/v1"
models = ["claude-scripted"]
"""
)
BEHIND = {
    "local": ("smollm2-135m-instruct", "all-minilm-l6-v2"),
    "remote": ("gpt-scripted", "embedding-scripted"),
    "anthropic": ("claude-scripted", "embedding-scripted"),
}
FEATURES = {
    "chat": "^(chat|invoke|text|prompt|completion|complete|completions|generateText|withResponse)$|^-s$|asyncio",
    "stream": "stream",
    "tools": "tool|function_?[cC]alling|TOOLS",
    "parallel tools": "parallel",
    "JSON": "json|schema|structured|parse|JSON|generateObject|Native|output_config",
    "images": "image",
    "thinking": "thinking",
    "responses": r"responses|openai\(\)",
    "messages": "message|beta|count_tokens|[aA]nthropic|system",
    "embeddings": "embed",
    "files, stores, batches": "files|batch|upload",
    "errors": "error|refusal",
    "cancel": "cancel",
}
"""For each column of the table of features, what the names of its calls contain."""
MISSING = ("ModuleNotFoundError", "ERR_MODULE_NOT_FOUND")
TOTAL_S = 900


@click.command()
@click.option("--python", default=sys.executable, help="The Python of the environment with the clients.")
@click.option("--node", "node", type=click.Path(path_type=Path, file_okay=False), help="A folder with node_modules.")
@click.option("--only", default="", help="Run only programs whose name contains this.")
@click.option("--behind", type=click.Choice([*BEHIND]), help="Run only with this backend.")
@click.option("--verbose", is_flag=True, help="Also print each call.")
def clients(python: str, node: Path | None, only: str, behind: str | None, verbose: bool) -> None:
    """Print which calls of which clients are served correctly. Exits with status 1 if one is not."""
    ways = [behind] if behind else [*BEHIND]
    with tempfile.TemporaryDirectory(prefix="foreword-clients-") as folder, ExitStack() as stack:
        port = _gateway(Path(folder), stack)
        commands = {**_python(python, only), **_node(node, Path(folder), only)}
        results = {(name, way): _run(command, port, way) for name, command in commands.items() for way in ways}
    rows = [[name, *[_counted(results[name, way]) for way in ways]] for name in commands]
    click.echo(table(["client", *ways], rows))
    click.echo("\n" + table(["client", *FEATURES], [[name, *_features(name, results)] for name in commands]))
    if verbose:
        rows = [row for name in commands for row in _rows(name, [results[name, way] for way in ways])]
        click.echo("\n" + table(["client", "call", *ways], rows))
    wrong = [
        f"{name}, {call}, {way}: {text}"
        for (name, way), cells in results.items()
        for call, text in cells.items()
        if text and call
    ]
    click.echo("\n" + "\n".join(wrong) if wrong else f"\nall of {sum(map(len, results.values()))} served right")
    sys.exit(bool(wrong))


def _gateway(scratch: Path, stack: ExitStack) -> int:
    """Start a gateway with both backends, and return its port."""
    upstream_port = free_port()
    program = str(HERE / "harness" / "scripted_upstream.py")
    upstream = Process([sys.executable, program, str(upstream_port)], scratch / "log", {"PYTHONPATH": str(HERE)})
    stack.callback(upstream.stop)
    upstream.wait_port(upstream_port)
    process, port = foreword.start(scratch / "gateway", CONFIG, upstream_port, ready_s=900)
    stack.callback(process.stop)
    return port


def _python(python: str, only: str) -> dict[str, list[str]]:
    files = [file for file in sorted(PROGRAMS.glob("*.py")) if file.stem != "cells" and only in file.stem]
    return {file.stem: [python, str(file)] for file in files}


def _node(packages: Path | None, scratch: Path, only: str) -> dict[str, list[str]]:
    """Run the Node programs. Node finds packages only beside a program, so the programs are copied there."""
    if packages is None:
        return {}
    folder = scratch / "node"
    shutil.copytree(PROGRAMS, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (folder / "node_modules").symlink_to(packages.resolve() / "node_modules")
    files = [file for file in sorted(folder.glob("*.mjs")) if file.stem != "cells" and only in file.stem]
    return {file.stem: ["node", str(file)] for file in files}


def _run(command: Sequence[str], port: int, way: str) -> dict[str, str]:
    """Return for each call what was wrong, or "". If there are no calls, the reason has the name ""."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"DO_NOT_TRACK": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    words = [*command, f"http://{HOST}:{port}/v1", *BEHIND[way]]
    try:
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=TOTAL_S, check=False)
    except subprocess.TimeoutExpired:
        return {"": f"did not end within {TOTAL_S} s"}
    cells = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"cell"')]
    if not cells:
        missing = any(name in done.stderr for name in MISSING)
        return {"": "not installed" if missing else done.stderr.strip()[-200:]}
    return {cell["cell"]: cell["wrong"] for cell in cells}


def _counted(cells: dict[str, str]) -> str:
    if "" in cells:
        return cells[""]
    return f"{sum(not wrong for wrong in cells.values())} of {len(cells)}"


def _features(name: str, results: Mapping[tuple[str, str], dict[str, str]]) -> list[str]:
    """Return for each feature how many of the client's calls are right, before all backends."""
    cells = [(call, text) for (of, _), calls in results.items() if of == name for call, text in calls.items() if call]
    counted = []
    for pattern in FEATURES.values():
        texts = [text for call, text in cells if re.search(pattern, call)]
        counted.append(f"{sum(not text for text in texts)} of {len(texts)}" if texts else "")
    return counted


def _rows(name: str, results: Sequence[dict[str, str]]) -> list[list[str]]:
    calls = list(dict.fromkeys(call for cells in results for call in cells))
    return [[name, call, *[_said(cells, call) for cells in results]] for call in calls]


def _said(cells: dict[str, str], call: str) -> str:
    if call not in cells:
        return cells.get("", "")
    return ("not installed" if not call else "**wrong**") if cells[call] else "right"


if __name__ == "__main__":
    clients()
