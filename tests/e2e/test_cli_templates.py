"""`foreword templates` as a user runs it: a real process, real files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.doubles.templates import MATCH, source, write


def foreword(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from gateway.cli.main import main; main()", "templates", *words]
    root = Path(__file__).parents[2]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False, env={"PYTHONPATH": str(root)}
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    more = "slots: {order: number}\ntests:\n  - query: refund order 12\n    expect: [{contains: '12'}]\n"
    body = "# system\nOrder {{ order }}.\n# user\n{{ query }}"
    write(tmp_path / "templates", "refund/en", source(body, more=more))
    (tmp_path / "config.toml").write_text("")
    return tmp_path


def test_a_template_goes_from_new_to_tested(tmp_path: Path) -> None:
    made = foreword("new", "mine/refund/en.prompt.md", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    linted = foreword("lint", "--strict", "--folder", "mine", cwd=tmp_path)
    (note,) = linted.stdout.splitlines()
    assert linted.returncode == 0
    assert "note: 16 lines of the new file are not replaced yet; fill in the lines 8, 12," in note
    assert linted.stderr == "1 files: 0 errors, 0 warnings\n"
    tested = foreword("test", "--no-classifier", "--folder", "mine", cwd=tmp_path)
    assert (tested.returncode, tested.stderr) == (0, "1 templates, 1 tests: 0 failures\n")
    again = foreword("new", "mine/refund/en.prompt.md", cwd=tmp_path)
    assert again.returncode == 1
    assert "already exists" in again.stderr


def test_lint_prints_places_and_exits_with_1(folder: Path) -> None:
    write(folder / "templates", "bad", source("# user\n{{ nobody }}", id="bad.en"))
    write(folder / "templates", "few", source(id="few.en", intent="few", match=["only this"]))
    done = foreword("lint", cwd=folder)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert "templates/bad.prompt.md:23:4: no slot 'nobody' is declared; known: query [unknown-slot]" in lines
    assert (
        "templates/few.prompt.md:9:3: 1 match examples; at least 8, in the words of your users [few-matches]" in lines
    )
    as_json = json.loads(foreword("lint", "--json", cwd=folder).stdout)
    assert {"file", "line", "column", "code", "what", "remedy", "level"} == set(as_json[0])


def test_list_tells_what_is_there_and_what_was_left_out(folder: Path) -> None:
    write(folder / "templates", "bad", "no front matter")
    done = foreword("list", "--json", cwd=folder)
    assert done.returncode == 0
    (row,) = json.loads(done.stdout)
    assert (row["id"], row["intent"], row["match"], row["slots"]) == ("refund.en", "refund", len(MATCH), ["order"])
    assert row["file"] == "templates/refund/en.prompt.md"
    assert "left out: templates/bad.prompt.md:1:1: a template starts with a line `---`" in done.stderr
    table = foreword("list", cwd=folder).stdout
    assert "refund.en" in table
    assert "direct" in table


def test_show_prints_the_file_or_the_messages_of_a_query(folder: Path) -> None:
    text = (folder / "templates/refund/en.prompt.md").read_text()
    assert foreword("show", "refund.en", cwd=folder).stdout == text + "\n"
    shown = foreword("show", "refund.en@1", "--json", "--query", "refund order 77", cwd=folder)
    assert json.loads(shown.stdout) == [
        {"role": "system", "content": "Order 77."},
        {"role": "user", "content": "refund order 77"},
    ]
    unknown = foreword("show", "refnd.en", cwd=folder)
    assert unknown.returncode == 1
    assert "did you mean 'refund.en'?" in unknown.stderr
    far = foreword("show", "nope", cwd=folder)
    assert (far.returncode, "refund" in far.stderr) == (1, False)
    assert "all names: foreword templates list" in far.stderr


def test_a_disk_that_is_full_is_one_line(folder: Path, tmp_path: Path) -> None:
    done = foreword("new", "/dev/full/refund/en.prompt.md", cwd=folder)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("Error: /dev/full")


def test_a_failing_test_is_told_and_exits_with_1(folder: Path) -> None:
    path = folder / "templates/refund/en.prompt.md"
    path.write_text(path.read_text().replace("contains: '12'", "contains: '13'"))
    done = foreword("test", "--no-classifier", "refund.en", cwd=folder)
    assert done.returncode == 1
    assert done.stdout == "templates/refund/en.prompt.md:23: the messages do not contain '13'\n"


def test_a_configuration_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    done = foreword("list", cwd=tmp_path)
    assert done.returncode == 2
    assert "there is no such file" in done.stderr


@pytest.mark.parametrize("command", ["list", "show", "new", "lint", "test"])
def test_help_teaches_with_an_example(tmp_path: Path, command: str) -> None:
    done = foreword(command, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert f"foreword templates {command}" in done.stdout.partition("\n\n")[2]


def test_a_version_goes_from_draft_to_active_and_back(folder: Path) -> None:
    text = (folder / "templates" / "refund" / "en.prompt.md").read_text()
    draft = text.replace("version: 1", "version: 2").replace("status: active", "status: draft  # mine")
    write(folder / "templates", "refund/en.v2", draft)
    refused = foreword("promote", "refund.en", "--to", "active", cwd=folder)
    assert (refused.returncode, refused.stderr) == (
        1,
        "refund.en@2 is draft: the next step is candidate, not active\n",
    )
    for expected in (
        "refund.en@2: draft -> candidate; version 1 is used\n",
        "refund.en@2: candidate -> canary; version 1 is used, version 2 for 5% of the requests\n",
        "refund.en@2: canary -> active; version 2 is used\n",
    ):
        done = foreword("promote", "refund.en", cwd=folder)
        assert (done.returncode, done.stdout) == (0, expected), done.stderr
    promoted = (folder / "templates" / "refund" / "en.v2.prompt.md").read_text()
    assert promoted == draft.replace("status: draft  # mine", "status: active  # mine")
    back = foreword("rollback", "refund.en", "--json", cwd=folder)
    assert json.loads(back.stdout) == {"id": "refund.en", "pointer": {"production": 1, "previous": 2}}
    rows = json.loads(foreword("history", "refund.en", "--json", cwd=folder).stdout)
    assert [(row["version"], row["speaks"]) for row in rows] == [(1, True), (2, False)]
    retired = foreword("retire", "refund.en@2", cwd=folder)
    assert retired.stdout == "refund.en@2: active -> retired; version 1 is used\n"
    last = foreword("retire", "refund.en@1", cwd=folder)
    assert last.stdout == "refund.en@1: active -> retired; no version is used\n"


def test_preview_shows_messages_slots_and_tokens(folder: Path) -> None:
    done = json.loads(foreword("preview", "refund.en", "--query", "refund order 12", "--json", cwd=folder).stdout)
    assert [(one["role"], one["content"]) for one in done["messages"]] == [
        ("system", "Order 12."),
        ("user", "refund order 12"),
    ]
    assert done["slots"][0]["value"] == "12"
    assert done["tokens"] == sum(one["tokens"] for one in done["messages"]) > 0
    named = foreword("preview", "refund.en", "--slots", "order=77", "--slots", "query=money back", cwd=folder)
    assert "Order 77." in named.stdout
    wrong = foreword("preview", "refund.en", "--slots", "odrer=77", cwd=folder)
    assert wrong.returncode == 1
    assert "--slots odrer: refund.en@1 has no slot 'odrer'" in wrong.stderr
    nothing = foreword("preview", "refund.en", cwd=folder)
    assert (nothing.returncode, nothing.stderr) == (
        1,
        "Error: refund.en@1 needs --query TEXT, or --slots NAME=VALUE for order\n",
    )


def test_diff_shows_what_changed(folder: Path) -> None:
    text = (folder / "templates" / "refund" / "en.prompt.md").read_text()
    more = "provenance: {scores: {accuracy: 0.8}}\n---\n# system\nBe kind. "
    write(
        folder / "templates", "refund/en.v2", text.replace("version: 1", "version: 2").replace("---\n# system\n", more)
    )
    done = foreword("diff", "refund.en@1", "refund.en@2", cwd=folder)
    assert "-version: 1" in done.stdout and "+Be kind. Order {{ order }}." in done.stdout
    assert "accuracy: - -> 0.8" in done.stdout
    read = json.loads(foreword("diff", "refund.en@1", "refund.en@2", "--json", cwd=folder).stdout)
    assert read["tokens"][1] > read["tokens"][0]
    gone = foreword("diff", "refund.en@1", "refund.en@9", cwd=folder)
    assert (gone.returncode, "foreword templates history refund.en" in gone.stderr) == (1, True)
    for version in ("²", "1" * 5000):
        wrong = foreword("diff", "refund.en@1", f"refund.en@{version}", cwd=folder)
        assert (wrong.returncode, "there is no template" in wrong.stderr) == (1, True)


def test_reload_without_a_gateway_says_so(folder: Path) -> None:
    done = foreword("reload", "--url", "http://127.0.0.1:1", cwd=folder)
    assert done.returncode == 1
    assert "is the gateway running?" in done.stderr
