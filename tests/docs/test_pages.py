"""Every code block of README.md and docs/ works: Python runs, the rest is checked.

Python runs against a gateway with the configuration that ships. TOML must be a valid configuration
and JSON a valid request; commands must exist with the options that they are shown with.
"""

import contextlib
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import openai
import pytest

from gateway import registry
from gateway.cli.main import main
from gateway.settings.read import decode, read
from gateway.wire.chat import decode as requests
from tests.doubles.process import running

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
ADDRESS = "http://127.0.0.1:8080"
HANDBOOK = "# Collections\n\nA request names a collection in its `foreword` object: `collections`, a list of names.\n"
BATCH = (
    '{"custom_id": "line-1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "auto", '
    '"max_tokens": 4, "messages": [{"role": "user", "content": "Say hi."}]}}\n'
)
LEAVE = "# Leave\n\nA trainee has 24 days of annual leave. Everybody else has 28 days of leave.\n"
KEYS = (
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "AZURE_OPENAI_API_KEY",
    "GEMINI_API_KEY",
    "AWS_BEARER_TOKEN_BEDROCK",
    "FOREWORD_WEBHOOK_SECRET",
    "TICKETS_TOKEN",
)
ROUTES = ("chat/completions", "responses", "messages", "foreword/feedback", "foreword/preview", "models", "embeddings")
STARTS = ("foreword/exchanges", "foreword/reload")


class DocumentedGateway:
    """A gateway with the configuration that ships, started when the first block of Python needs it.

    It has a collection `handbook`, a vector store `store` and the files `leave.pdf` and `requests.jsonl`, as the pages
    do.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.client: openai.OpenAI
        self.store: Any = None
        self._stack = contextlib.ExitStack()

    def start(self) -> None:
        if self.url:
            return
        # the trained classifier is kept from one run of the tests to the next, under a hash of what it learned from
        data = ROOT / ".pytest_cache" / "documented"
        data.mkdir(parents=True, exist_ok=True)
        config = (ROOT / "config.toml").read_text("utf-8").replace('["templates"]', f'["{ROOT / "templates"}"]')
        (self.folder / "leave.pdf").write_text(LEAVE)
        (self.folder / "handbook.md").write_text(HANDBOOK)
        (self.folder / "requests.jsonl").write_text(BATCH)
        process = self._stack.enter_context(
            running(self.folder, f'{config}\n[data]\nfolder = "{data}"\n', timeout_s=600)
        )
        foreword("collections", "add", "handbook", str(self.folder / "handbook.md"), "--config", str(process.config))
        self.client = self._stack.enter_context(
            openai.OpenAI(base_url=f"{process.url}/v1", api_key="none", timeout=120)
        )
        self.store = self.client.vector_stores.create(name="leave")
        file = self.client.files.create(file=("leave.md", LEAVE.encode()), purpose="assistants")
        self.client.vector_stores.files.create_and_poll(file.id, vector_store_id=self.store.id)
        self.url = process.url

    def stop(self) -> None:
        if self.url:
            self.client.vector_stores.delete(self.store.id)
        self._stack.close()


def foreword(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "gateway.cli.main", *words], check=True, capture_output=True)


def blocks(*languages: str) -> list[Any]:
    """The blocks in these languages, each with its page and line."""
    return [
        pytest.param(match[2], id=f"{page.name}:{page.read_text('utf-8')[: match.start()].count(chr(10)) + 1}")
        for page in PAGES
        for match in BLOCK.finditer(page.read_text("utf-8"))
        if match[1] in languages
    ]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocumentedGateway]:
    documented = DocumentedGateway(tmp_path_factory.mktemp("documented"))
    documented.start()
    yield documented
    documented.stop()


@pytest.mark.parametrize("code", blocks("python"))
def test_python_runs(code: str, gateway: DocumentedGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(gateway.folder)
    given = {"OpenAI": openai.OpenAI, "client": gateway.client, "store": gateway.store}
    exec(code.replace(ADDRESS, gateway.url).replace("api_key=...", 'api_key="none"'), given)


@pytest.mark.parametrize("text", blocks("toml"))
def test_toml_is_a_valid_configuration(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.setenv(name, "sk-documented")
    monkeypatch.setenv("APP_KEY_SHA256", "0" * 64)
    monkeypatch.setenv("LLM_PROXY", "http://proxy.internal.example:3128")
    settings, problems = read(tomllib.loads(text), root=ROOT)
    for name, table in settings.backends.items():
        kind = registry.find("backends", table.kind)
        problems += decode(table.table, kind.settings, f"[backends.{name}]")[1]
    assert [str(problem) for problem in problems] == []


@pytest.mark.parametrize("text", blocks("json"))
def test_json_is_a_valid_request(text: str) -> None:
    fields = {"messages": [{"role": "user", "content": "hi"}], **json.loads(text)}
    requests.chat(json.dumps(fields).encode(), {})


@pytest.mark.parametrize("text", blocks("sh", "console"))
def test_commands_exist_with_their_options(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for line in re.sub(r"\\\n", " ", text).splitlines():
        words = (
            shlex.split(line.removeprefix("$ ").split(" | ")[0].split(" > ")[0], comments=True)
            if closed(line)
            else line.split()
        )
        if words and words[0].endswith("foreword"):
            check_command(main, words[1:], monkeypatch)
        elif words and words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), f"no {line!r}"
    for path in re.findall(r"(?:127\.0\.0\.1|localhost):8080/v1/([a-z/_]+)", text):
        assert path in ROUTES or path.startswith(STARTS), path


def closed(line: str) -> bool:
    """Whether a line's quotes are closed on it; the bodies of curl commands go on."""
    return line.count("'") % 2 == 0


def check_command(command: click.Command, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Parse the words as the command line would, without running anything."""
    context = click.Context(command, info_name="foreword")
    while isinstance(command, click.Group) and words:
        inner = command.get_command(context, words[0])
        assert inner is not None, f"no command {words[0]!r}"
        command, words = inner, words[1:]
    if isinstance(command, click.Group):
        return
    for parameter in command.params:
        if isinstance(parameter.type, click.Path):
            monkeypatch.setattr(parameter, "type", click.STRING)  # the files that an example names are not there
    command.make_context("foreword", words)
