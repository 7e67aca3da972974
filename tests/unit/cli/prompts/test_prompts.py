"""`foreword prompts`: what it lists and shows, and what a person decides with it."""

import json
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner, Result

from gateway.cli.main import main
from gateway.prompt.found.contract_file import contract_path
from gateway.prompt.found.found_prompt import FoundPrompt, PartExamples, PromptUse, PromptVersion
from gateway.prompt.found.shape import OPEN, TextShape
from gateway.prompt.found.store import FoundFile, WaitingPrompt, change_found, found_path, one_of, put, read_found

SYSTEM = "You sort tickets. Today is {}."


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").write_text(
        '[data]\nfolder = "data"\n[keys.hidden]\nsecret = "a-secret"\nrecord = "hashed"\n'
    )
    shape = TextShape(("You sort tickets. Today is ", "."))
    changed = TextShape(("You sort tickets well. Today is ", "."))
    parts = (PartExamples("date", ("2026-11-03",), 10), PartExamples("text", ("my card is gone",), 15))
    use = PromptUse(20, 4, 3, 1_790_000_000.0, 1_790_100_000.0, {"m": 20}, 2000, 200, 0.5, 20_000_000, 2, 1.0)
    versions = (PromptVersion(1, shape, OPEN, use, parts), PromptVersion(2, changed, OPEN, use, parts))
    prompts = (
        FoundPrompt("p-1111111111", "sort-tickets", "app", "chat/completions", versions),
        FoundPrompt("p-2222222222", "other", "hidden", "chat/completions", versions[:1]),
    )
    waiting = (WaitingPrompt("app", "chat/completions", "You translate", 30, "2 of 3 users or days"),)
    change_found(found_path(tmp_path / "data"), lambda _: FoundFile(prompts, waiting=waiting))
    return tmp_path / "config.toml"


def call(config: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["prompts", *words, "--config", str(config)])


def test_list_tells_use_and_what_is_missing(config: Path) -> None:
    result = call(config, "list")
    assert result.exit_code == 0, result.output
    assert "sort-tickets" in result.output
    assert "2 of 3 users or days" in result.output
    (first, _) = call(config, "list", "--json").output.splitlines()
    assert json.loads(first)["use"]["requests"] == 40


def test_show_has_the_skeleton_and_examples(config: Path) -> None:
    output = call(config, "show", "sort-tickets").output
    assert "You sort tickets well. Today is {{ part1 }}." in output
    assert "2026-11-03" in output
    assert "You sort tickets. Today is" in call(config, "show", "p-11", "--version", "1").output


def test_a_key_recorded_as_hashes_shows_no_values(config: Path) -> None:
    shown = json.loads(call(config, "show", "other", "--json").output)
    assert [part["values"] for part in shown["parts"]] == [[], []]


def test_diff_shows_what_was_deployed(config: Path) -> None:
    output = call(config, "diff", "sort-tickets").output
    assert "-You sort tickets. Today is {{ part1 }}." in output
    assert "+You sort tickets well. Today is {{ part1 }}." in output
    assert "has no version before 1" in call(config, "diff", "other").output


def test_a_new_name_is_used_from_then_on(config: Path) -> None:
    assert call(config, "name", "p-1111", "triage").exit_code == 0
    assert call(config, "show", "triage").exit_code == 0
    assert "a prompt 'triage' exists already" in call(config, "name", "other", "triage").output
    assert "cannot be a name" in call(config, "name", "other", "Über alles").output


def test_an_ignored_prompt_is_listed_on_demand_only(config: Path) -> None:
    call(config, "ignore", "other")
    assert "p-2222222222" not in call(config, "list").output
    assert "p-2222222222" in call(config, "list", "--all").output
    call(config, "ignore", "other", "--undo")
    assert "p-2222222222" in call(config, "list").output


def test_an_unknown_name_is_an_error_with_a_hint(config: Path) -> None:
    result = call(config, "show", "sort-ticket")
    assert result.exit_code == 1
    assert "Did you mean 'sort-tickets'?" in result.output


def test_only_the_owner_may_read_the_file(config: Path) -> None:
    file = found_path(config.parent / "data")
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0


def test_an_adopted_prompt_has_a_template_that_can_be_exported(config: Path) -> None:
    result = call(config, "adopt", "other")
    assert result.exit_code == 0, result.output
    assert (config.parent / "data" / "found" / "templates" / "p-2222222222" / "1.json").stat().st_mode & 0o077 == 0
    assert "adopted" in call(config, "list").output
    target = config.parent / "other.md"
    call(config, "export", "other", "--to", str(target))
    assert "{% frozen %}You sort tickets. Today is {% endfrozen %}{{ part1 }}" in target.read_text()


def test_adopting_an_ignored_prompt_again_sends_nothing_else(config: Path) -> None:
    call(config, "adopt", "sort-tickets")
    assert call(config, "promote", "sort-tickets", "--version", "1").exit_code == 0
    call(config, "ignore", "sort-tickets")
    call(config, "ignore", "sort-tickets", "--undo")
    call(config, "adopt", "sort-tickets")
    assert one_of(read_found(found_path(config.parent / "data")).prompts, "sort-tickets").spoken is None


def test_a_text_with_carriage_returns_can_be_edited(config: Path) -> None:
    version = PromptVersion(1, TextShape(("You sort\r\ntickets.\r\n",)), OPEN)
    prompt = FoundPrompt("p-3333333333", "windows", "app", "chat/completions", (version,))
    change_found(found_path(config.parent / "data"), lambda content: put(content, [prompt]))
    file = config.parent / "windows.md"
    call(config, "adopt", "windows")
    call(config, "export", "windows", "--to", str(file))
    result = call(config, "add", "windows", str(file))
    assert result.exit_code == 0, result.output
    file.write_bytes(b"\xff")
    assert "UTF-8" in call(config, "add", "windows", str(file)).output


def adopted(config: Path) -> None:
    assert call(config, "adopt", "sort-tickets").exit_code == 0


def test_a_contract_is_shown_edited_and_removed(config: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_text(
        '{"json_schema": {"type": "object", "properties": {"label": {"enum": ["a", "b"]}}}, "fence": "never"}'
    )
    assert "not adopted" in call(config, "contract", "sort-tickets", "--from", str(own)).output
    adopted(config)
    assert "has no contract" in call(config, "contract", "sort-tickets").output
    assert call(config, "contract", "sort-tickets", "--from", str(own)).exit_code == 0
    output = call(config, "show", "sort-tickets").output
    assert "answer contract, by a person" in output
    assert "JSON, without a code block: {label?: one of a, b}" in output
    own.write_text(call(config, "contract", "sort-tickets", "--json").output.replace("never", "always"))
    assert "in a code block" in call(config, "contract", "sort-tickets", "--from", str(own)).output
    own.write_text("{}")
    assert "has no contract" in call(config, "contract", "sort-tickets", "--from", str(own)).output


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Input data was truncated"),
        ('{"lables": []}', "lables"),
        ('{"pattern": "("}', "not a regular expression"),
        ('{"json_schema": {"type": 3}}', "not a JSON schema"),
        ('{"json_schema": {"$ref": "http://example.org/x"}}', "$ref"),
        ('{"tools": {"find": {"type": "sting"}}}', "find"),
        ('{"longest": -1}', "longest"),
        ('{"schema": 99, "longest": 3}', "Upgrade"),
        ("\xff", "malformed"),
    ],
)
def test_a_wrong_contract_is_refused_with_its_reason(config: Path, tmp_path: Path, text: str, reason: str) -> None:
    adopted(config)
    own = tmp_path / "own.json"
    own.write_bytes(text.encode("latin-1"))
    result = call(config, "contract", "sort-tickets", "--from", str(own))
    assert result.exit_code == 1
    assert reason in result.output
    assert "has no contract" in call(config, "contract", "sort-tickets").output


def test_a_file_that_was_broken_in_an_editor_is_told_with_its_place(config: Path) -> None:
    adopted(config)
    path = contract_path(config.parent / "data", "p-1111111111")
    path.write_text('{"labels": 3}')
    output = " ".join(call(config, "show", "sort-tickets").output.split())
    assert "$.labels" in output
    assert "learn-contract" in output


def test_fixed_texts_are_listed_unlocked_and_locked_again(config: Path) -> None:
    assert call(config, "unlock", "sort-tickets").output.count("frozen") == 2
    assert "unlocked" in call(config, "unlock", "sort-tickets", "1").output
    assert read_found(found_path(config.parent / "data")).prompts[0].unlocked == ("You sort tickets well. Today is ",)
    assert "unlocked" not in call(config, "unlock", "sort-tickets", "--all", "--lock").output
    assert "numbers 1 to 2" in call(config, "unlock", "sort-tickets", "7").output


def test_an_imported_prompt_is_listed_and_adopted_with_the_names_of_its_parts(config: Path) -> None:
    (config.parent / "triage.md").write_text("# system\nSort the ticket by {{ area }}.\n# user\n{{ ticket }}\n")
    file = str(config.parent / "triage.md")

    planned = call(config, "import", file, "--dry-run")
    assert planned.exit_code == 0, planned.output
    assert "would be imported as version 1" in planned.output
    assert "triage" not in call(config, "list").output

    result = call(config, "import", file)
    assert result.exit_code == 0, result.output
    assert "Sort the ticket by {{ area }}." in call(config, "show", "triage").output
    assert "is known with this text" in call(config, "import", file).output
    assert call(config, "adopt", "triage").exit_code == 0
    assert "{{ ticket }}" in call(config, "export", "triage").output

    (config.parent / "triage.md").write_text("# system\nSort the ticket well, by {{ area }}.\n# user\n{{ ticket }}\n")
    assert "is imported as version 2" in call(config, "import", file).output


def test_an_import_says_what_is_wrong_and_changes_nothing(config: Path) -> None:
    before = read_found(found_path(config.parent / "data"))
    file = config.parent / "all.txt"
    file.write_text("{{ all }}")
    for words, why in (
        ((str(file),), "no fixed text"),
        ((str(config.parent / "gone.txt"),), "is no file"),
        ((str(file), "--key", "nobody"), "there is no key 'nobody'"),
        (("https://127.0.0.1:1/prompt",), "only --from langfuse"),
        (("https://127.0.0.1:1/prompt", "--from", "langfuse"), "set LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY"),
    ):
        result = call(config, "import", *words)
        assert result.exit_code != 0
        assert why in result.output + str(result.exception)
    assert read_found(found_path(config.parent / "data")) == before


class LangfuseStub(BaseHTTPRequestHandler):
    """A stub of Langfuse's API with one prompt."""

    def do_GET(self) -> None:
        is_known = self.headers["authorization"] == "Basic " + b64encode(b"pk:sk").decode()
        self.send_response(200 if is_known else 401)
        self.end_headers()
        if is_known:
            prompt = {"name": "triage", "version": 3, "type": "text", "prompt": "Sort this: {{ticket}}"}
            self.wfile.write(json.dumps(prompt).encode())

    def log_message(self, *_: object) -> None:
        pass


def test_a_prompt_is_imported_from_langfuse_with_its_keys(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), LangfuseStub) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/api/public/v2/prompts/triage"
        monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "pk")
        monkeypatch.setenv("LANGFUSE_SECRET_KEY", "wrong")
        refused = call(config, "import", address, "--from", "langfuse")
        monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk")
        result = call(config, "import", address, "--from", "langfuse")
        server.shutdown()

    assert "check the two keys" in refused.output + str(refused.exception)
    assert "wrong" not in refused.output + str(refused.exception)
    assert "triage" in result.output
    assert "Sort this: {{ ticket }}" in call(config, "show", "triage").output
