"""`foreword collections` as a user runs it: real files, the real embedder, and a gateway beside it."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docx
import httpx
import pytest
from click.testing import CliRunner

from gateway.cli.collections.commands import collections
from tests.doubles.process import GatewayProcess

CONFIG = """
[prompt]
templates = []
[records]
policy = "none"
[context]
budget_ms = 60000
[embedder]
kind = "sentence"
[store]
kind = "chroma"
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"
models = ["*"]
[routing]
default = "m"
"""
LEAVE = "# Leave\n\n## Annual\n\nEvery employee has fifteen days of paid annual leave.\n"
PAGE = "<h1>Travel</h1><p>Train journeys are booked in second class.</p><script>obey()</script>"


class Cli:
    """`foreword collections` with one config, in this process, which is another than the gateway's."""

    def __init__(self, config: Path) -> None:
        self.config = config

    def __call__(self, command: str, *arguments: object, status: int = 0) -> str:
        call = [command, "--config", str(self.config), *(str(argument) for argument in arguments)]
        done = CliRunner().invoke(collections, call)
        assert done.exit_code == status, done.output
        return done.output

    def json(self, command: str, *arguments: object) -> Any:
        return json.loads(self(command, "--json", *arguments))


def ready(process: GatewayProcess) -> set[str]:
    parts = httpx.get(process.url + "/health/ready").json()["parts"]
    return {part for part, state in parts.items() if state == "ready"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway that has its collections open; its classifier may still be learning."""
    process = GatewayProcess(tmp_path_factory.mktemp("gateway"), CONFIG)
    try:
        process.wait("/health/live")
        deadline = time.monotonic() + 120
        while not {"collections", "embedder"} <= ready(process):
            assert time.monotonic() < deadline, process.log.read_text("utf-8")
            time.sleep(0.1)
        yield process
    finally:
        process.kill()


@pytest.fixture(scope="module")
def cli(gateway: GatewayProcess) -> Cli:
    return Cli(gateway.config)


@pytest.fixture(scope="module")
def documents(gateway: GatewayProcess) -> list[Path]:
    folder = gateway.folder / "docs"
    folder.mkdir()
    (folder / "leave.md").write_text(LEAVE, "utf-8")
    (folder / "travel.html").write_text(PAGE, "utf-8")
    made = docx.Document()
    made.add_heading("Meals", 1)
    made.add_paragraph("The canteen opens at noon and closes at two.")
    made.save(str(folder / "meals.docx"))
    return [folder / "leave.md", folder / "meals.docx", folder / "travel.html"]


def ask(gateway: GatewayProcess, query: str, *collections: str) -> httpx.Response:
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": query}],
        "foreword": {"collections": list(collections)},
    }
    return httpx.post(gateway.url + "/v1/foreword/preview", json=body, timeout=60)


def test_a_running_gateway_answers_from_what_is_added_beside_it(
    gateway: GatewayProcess, cli: Cli, documents: list[Path]
) -> None:
    assert ask(gateway, "How many days of leave?", "员工手册").status_code == 404

    command = [sys.executable, "-m", "gateway.cli.main", "collections", "add", "员工手册", *documents, "--json"]
    told = subprocess.run([*command, "--config", cli.config], stdout=subprocess.PIPE, timeout=300, check=True).stdout
    added = json.loads(told)
    answer = ask(gateway, "How many days of annual leave does an employee have?", "员工手册")

    assert [(row["source"], row["state"]) for row in added["files"]] == [
        ("docs/leave.md", "added"),
        ("docs/meals.docx", "added"),
        ("docs/travel.html", "added"),
    ]
    assert answer.status_code == 200
    assert "[1] docs/leave.md, Leave > Annual" in answer.text
    assert "fifteen days of paid annual leave" in answer.text

    (gateway.folder / "docs" / "leave.md").write_text(LEAVE.replace("fifteen", "twenty"), "utf-8")
    changed = cli.json("add", "员工手册", gateway.folder / "docs")
    answer = ask(gateway, "How many days of annual leave does an employee have?", "员工手册")

    assert [row["state"] for row in changed["files"]] == ["replaced", "unchanged", "unchanged"]
    assert "twenty days of paid annual leave" in answer.text
    assert "fifteen" not in answer.text

    cli("remove", "员工手册", "--source", "docs/leave.md")
    assert "twenty days" not in ask(gateway, "How many days of annual leave does an employee have?", "员工手册").text


def test_what_is_in_a_collection_is_listed_and_found(cli: Cli, documents: list[Path]) -> None:
    cli("add", "handbook", *documents)

    listed = {row["name"]: row for row in cli.json("list")["collections"]}
    found = cli.json("search", "handbook", "When can I eat lunch?")["chunks"]

    assert listed["handbook"] == {
        "name": "handbook",
        "id": listed["handbook"]["id"],
        "owner": "",
        "documents": ["docs/leave.md", "docs/meals.docx", "docs/travel.html"],
        "chunks": 3,
    }
    assert (found[0]["source"], found[0]["heading"]) == ("docs/meals.docx", "Meals")
    assert found[0]["score"] > found[1]["score"]
    assert "obey" not in json.dumps(found)
    assert "docs/meals.docx" in cli("search", "handbook", "When can I eat lunch?")


def test_a_broken_file_is_told_and_the_status_is_one(gateway: GatewayProcess, cli: Cli, documents: list[Path]) -> None:
    broken = gateway.folder / "broken.pdf"
    broken.write_bytes(b"%PDF-1.4 broken")

    told = cli("add", "mixed", broken, documents[0], status=1)

    assert "cannot be read as .pdf" in told
    assert "mixed: 1 added, 1 failed" in told


def test_an_unknown_collection_is_told_with_the_known_ones(cli: Cli, documents: list[Path]) -> None:
    cli("add", "handbook", documents[0])

    for command, *rest in (("search", "query"), ("remove",)):
        assert "There is no collection 'hand-book'. Known:" in cli(command, "hand-book", *rest, status=1)


def test_a_config_without_a_store_says_what_to_add(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[embedder]\nkind = "sentence"\n', "utf-8")

    assert 'Add [store] with kind = "chroma"' in Cli(config)("list", status=2)
