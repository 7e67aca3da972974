"""openai-python's own generated API tests, run at a schema mock and through the gateway before it.

Takes an unpacked source distribution (or a checkout) of openai-python in the installed version;
fetches nothing. Its tests send every documented parameter and check the types of the answers.
"""

import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import click
from harness import foreword
from harness.processes import HOST, Process, free_port
from harness.report import table

FILES = ("chat/test_completions.py", "test_completions.py", "test_embeddings.py", "test_models.py")
# what OpenAI stores of earlier chats; a gateway has no such endpoints
STORED = ("_retrieve", "_update", "_list", "_delete")


@click.command()
@click.option("--openai", "checkout", required=True, type=click.Path(exists=True, path_type=Path, file_okay=False))
@click.option("--verbose", is_flag=True, help="Also print each failure's first line.")
def conformance(checkout: Path, verbose: bool) -> None:
    """Passed and failed tests of openai-python, directly and through the gateway."""
    mock_port = free_port()
    with tempfile.TemporaryDirectory(prefix="foreword-conformance-") as folder:
        scratch = Path(folder)
        mock = Process([sys.executable, str(Path(__file__).parent / "mock.py"), str(mock_port)], scratch / "mock.log")
        gateway = None
        try:
            mock.wait_port(mock_port)
            gateway, port = foreword.start(scratch / "gateway", foreword.PASS_THROUGH, mock_port)
            rows = []
            for file in FILES:
                direct = _run(checkout, file, mock_port, scratch)
                through = _run(checkout, file, port, scratch)
                rows += _rows(file, direct, through)
                if verbose:
                    for name, failure in through.items():
                        if failure and not direct.get(name):
                            click.echo(f"{file} {name}: {failure}", err=True)
        finally:
            for process in (gateway, mock):
                if process is not None:
                    process.stop()
    click.echo(table(["tests", "count", "passed at the mock", "passed through the gateway"], rows))


def _rows(file: str, direct: dict[str, str], through: dict[str, str]) -> list[list[str]]:
    parts = {file: lambda name: True}
    if file.startswith("chat/"):
        parts = {
            f"{file}, create": lambda name: not any(word in name for word in STORED),
            f"{file}, stored completions": lambda name: any(word in name for word in STORED),
        }
    return [
        [
            title,
            str(sum(map(belongs, direct))),
            str(sum(belongs(name) and not failure for name, failure in direct.items())),
            str(sum(belongs(name) and not failure for name, failure in through.items())),
        ]
        for title, belongs in parts.items()
    ]


def _run(checkout: Path, file: str, port: int, scratch: Path) -> dict[str, str]:
    """Each test of the file with "" or why it failed."""
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
