"""Runs openai-python's own generated API tests against a schema mock, directly and through the gateway.

Takes an unpacked source distribution (or a checkout) of openai-python in the installed version, and downloads nothing.
The tests send every documented parameter and check the types of the answers.
"""

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import click
from harness import foreword
from harness.processes import HOST, Process, free_port
from harness.report import table

FILES = ("chat/test_completions.py", "test_completions.py", "test_embeddings.py", "test_models.py")
RESPONSES = ("test_responses.py", "responses/test_input_items.py", "responses/test_input_tokens.py")
# what OpenAI stores of earlier chats and responses
STORED = ("_retrieve", "_update", "_list", "_delete", "_cancel")
COMPACT = ("_compact",)
PARTS = ("create", "stored", "compact")
# the same mock twice: as a backend with /v1/responses, and as a backend with only chat
NATIVE = foreword.PASS_THROUGH.replace('models = ["*"]', 'models = ["*"]\nresponses = ["*"]')


@click.command()
@click.option("--openai", "checkout", required=True, type=click.Path(exists=True, path_type=Path, file_okay=False))
@click.option("--verbose", is_flag=True, help="Also print the first line of each failure.")
@click.option("--only", type=click.Choice(["old", "responses"]), help="Only these endpoints. Default: all.")
def conformance(checkout: Path, verbose: bool, only: str | None) -> None:
    """Print how many of openai-python's tests pass and fail, directly and through the gateway."""
    mock_port = free_port()
    with tempfile.TemporaryDirectory(prefix="foreword-conformance-") as folder, ExitStack() as stack:
        scratch = Path(folder)
        mock = Process([sys.executable, str(Path(__file__).parent / "mock.py"), str(mock_port)], scratch / "mock.log")
        stack.callback(mock.stop)
        mock.wait_port(mock_port)
        native, native_port = foreword.start(scratch / "native", NATIVE, mock_port)
        stack.callback(native.stop)
        ports = {"at the mock": mock_port, "through the gateway": native_port}
        if only != "responses":
            click.echo(_table(checkout, FILES, ports, scratch, verbose))
        if only != "old":
            chat, chat_port = foreword.start(scratch / "chat", foreword.PASS_THROUGH, mock_port)
            stack.callback(chat.stop)
            ports["translated to chat"] = chat_port
            click.echo(_table(checkout, RESPONSES, ports, scratch, verbose))


def _table(checkout: Path, files: Sequence[str], ports: Mapping[str, int], scratch: Path, verbose: bool) -> str:
    rows = []
    for file in files:
        found = {way: _run(checkout, file, port, scratch) for way, port in ports.items()}
        rows += [
            [title, *map(str, counted)]
            for title, belongs in _parts(file).items()
            if (counted := _counts(found, belongs))[0]
        ]
        for way, results in found.items() if verbose else ():
            for name, failure in results.items():
                if failure:
                    click.echo(f"{way}: {file} {name}: {failure}", err=True)
    return table(["tests", "count", *[f"passed {way}" for way in ports]], rows)


def _parts(file: str) -> dict[str, Callable[[str], bool]]:
    if file not in ("chat/test_completions.py", "test_responses.py"):
        return {file: lambda name: True}

    def part(name: str) -> str:
        if any(word in name for word in STORED):
            return "stored"
        return "compact" if any(word in name for word in COMPACT) else "create"

    return {f"{file}, {wanted}": partial(_is, part, wanted) for wanted in PARTS}


def _is(part: Callable[[str], str], wanted: str, name: str) -> bool:
    return part(name) == wanted


def _counts(found: Mapping[str, dict[str, str]], belongs: Callable[[str], bool]) -> list[int]:
    first = next(iter(found.values()))
    passed = [sum(belongs(name) and not failure for name, failure in results.items()) for results in found.values()]
    return [sum(map(belongs, first)), *passed]


def _run(checkout: Path, file: str, port: int, scratch: Path) -> dict[str, str]:
    """Return for each test of the file why it failed, or ""."""
    report = scratch / "report.xml"
    report.unlink(missing_ok=True)
    argv = [sys.executable, "-m", "pytest", f"tests/api_resources/{file}", "-q", "-p", "no:cacheprovider"]
    argv += ["-o", "addopts=", "-o", "filterwarnings=", f"--junitxml={report}"]
    env = {**os.environ, "TEST_API_BASE_URL": f"http://{HOST}:{port}/v1"}
    done = subprocess.run(argv, cwd=checkout, env=env, capture_output=True, text=True, timeout=600, check=False)
    if not report.exists():
        raise click.ClickException(f"pytest did not run {file}: {done.stdout[-800:]} {done.stderr[-800:]}")
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        wrong = case.find("failure") if case.find("failure") is not None else case.find("error")
        name = f"{case.get('classname', '').rsplit('.', 1)[-1]}.{case.get('name')}"
        found[name] = "" if wrong is None else (wrong.get("message") or "failed").split("\n")[0]
    return found


if __name__ == "__main__":
    conformance()
