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
    assert (linted.returncode, linted.stdout) == (0, "")
    assert linted.stderr == "1 files: 0 errors, 0 warnings\n"
    tested = foreword("test", "--no-classifier", "--folder", "mine", cwd=tmp_path)
    assert (tested.returncode, tested.stderr) == (0, "1 templates, 1 tests: 0 failures\n")
    again = foreword("new", "mine/refund/en.prompt.md", cwd=tmp_path)
    assert again.returncode == 1
    assert "is there already" in again.stderr


def test_lint_prints_places_and_exits_with_1(folder: Path) -> None:
    write(folder / "templates", "bad", source("# user\n{{ nobody }}", id="bad.en"))
    write(folder / "templates", "few", source(id="few.en", intent="few", match=["only this"]))
    done = foreword("lint", cwd=folder)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert "templates/bad.prompt.md:23:4: no slot 'nobody' is declared; known: query" in lines
    assert "templates/few.prompt.md:9:3: 1 match examples; at least 8, in the words of your users" in lines
    as_json = json.loads(foreword("lint", "--json", cwd=folder).stdout)
    assert {"file", "line", "column", "what", "level"} == set(as_json[0])


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
