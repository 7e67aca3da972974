"""An active file with a mistake that lint calls an error is not used until it is corrected."""

from pathlib import Path

import pytest

from gateway.errors import TemplateError
from gateway.prompt.authoring.lint import lint
from gateway.prompt.library.library import Library, load_library
from gateway.prompt.library.pointers import Pointer, move
from gateway.prompt.library.versions import VersionArchive
from gateway.prompt.templates.findings import Severity
from tests.doubles.templates import MATCH, NOT, source, write


def load(folder: Path) -> tuple[Library, list[TemplateError]]:
    return load_library([folder / "templates"], VersionArchive(folder / "archive"))


def used(library: Library) -> list[int]:
    offered = library.candidates("refund", "en")
    return [template.version for template in (offered.stable, offered.canary) if template]


MISTAKES = {
    "few-matches": source(match=MATCH[:7]),
    "few-near-misses": source(not_=NOT[:1]),
    "contradiction": source(not_=[MATCH[0].upper(), *NOT]),
    "no-user-text": source("# user\nSay hello.\n"),
    "unused-slot": source(more="slots: {order: number}\n"),
    "no-examples": source(more="technique: few-shot\n"),
    "unused-examples": source(more="examples: [{input: a, output: b}]\n"),
    "body-too-long": source("# user\n{{ query }}" + "long " * 1000),
    "over-budget": source(more="output: {max_tokens: 5000}\n"),
    "secret": source("# user\n{{ query }} password: hunter2hunter2\n"),
    "placeholder": source("# user\n{{ query }}\nReplace this line with how the answer should look.\n"),
}


@pytest.mark.parametrize("code", MISTAKES)
@pytest.mark.parametrize("status", ["active", "canary"])
def test_no_file_with_an_error_is_used(tmp_path: Path, code: str, status: str) -> None:
    file = write(tmp_path / "templates", "a", MISTAKES[code].replace("status: active", f"status: {status}"))
    library, errors = load(tmp_path)
    assert code in [finding.code for finding in lint(library) if finding.level is Severity.ERROR]
    assert (used(library), errors) == ([], [])
    assert [(error.file, f"[{code}]" in error.what) for error in library.faulty] == [(str(file), True)]
    assert library.get("refund.en", 1) is not None


def test_the_version_before_the_mistake_goes_on(tmp_path: Path) -> None:
    write(tmp_path / "templates", "a", source())
    load(tmp_path)
    write(tmp_path / "templates", "a", source("# user\nSay hello.\n"))
    stable = load(tmp_path)[0].candidates("refund", "en").stable
    assert stable is not None and stable.parts[0].source == "{{ query }}"
    write(tmp_path / "templates", "a", source("# user\nSay hello.\n", version=2))
    assert used(load(tmp_path)[0]) == [1]


def test_a_pointer_does_not_help_a_faulty_file(tmp_path: Path) -> None:
    write(tmp_path / "templates", "a", source())
    load(tmp_path)
    write(tmp_path / "templates", "b", source("# user\nSay hello.\n", version=2, status="canary"))
    move(tmp_path / "templates", "refund.en", Pointer(canary=2, share=0.5))
    library, (error,) = load(tmp_path)
    assert used(library) == [1]
    assert "names version 2, which has mistakes" in error.what


def test_of_two_intents_with_the_same_example_the_first_goes_on(tmp_path: Path) -> None:
    write(tmp_path / "templates", "a", source())
    write(tmp_path / "templates", "b", source(id="other.en", intent="other", match=MATCH))
    library, _ = load(tmp_path)
    assert library.intents == ("refund",)
    assert library.faulty[0].what.startswith("other.en@1 is not used until this is corrected")


def test_a_draft_with_the_same_example_disturbs_nobody(tmp_path: Path) -> None:
    write(tmp_path / "templates", "a", source(id="other.en", intent="other", match=MATCH, status="draft"))
    write(tmp_path / "templates", "b", source())
    assert load(tmp_path)[0].intents == ("refund",)


@pytest.mark.parametrize(
    ("body", "more"),
    [
        ("# user\n{% if query %}Say hello.{% endif %}\n", ""),
        ("# user\n{{ '' if query else 'x' }} hello\n", ""),
        ("# user\nhello\n", "slots: {text: payload}\n"),
        ("# call idea\n{{ query }}\n# user\nhello {{ idea }}\n", "calls: {idea: {}}\n"),
        ("# user\n{{ query }}\n# assistant\n{{ query }}\n# user\nhello\n", ""),
    ],
)
def test_a_body_that_only_looks_at_the_query_is_found(tmp_path: Path, body: str, more: str) -> None:
    write(tmp_path / "templates", "a", source(body, more=more))
    codes = {finding.code for finding in lint(load(tmp_path)[0])}
    assert "no-user-text" in codes or body.count("{{ query }}") == 2


@pytest.mark.parametrize(
    ("body", "more"),
    [
        ("# user\n{{ query | upper }}\n", ""),
        ("# system\n{{ query }}\n# user\nDo it.\n", ""),
        ("# user\nSummarise {{ text }}\n", "slots: {text: payload}\n"),
        ("# user\nOrder {{ order }}\n", "slots: {order: {from: number, type: number}}\n"),
        ("# user\nBe {{ tone }}: {% if tone == 'formal' %}x{% endif %}\n",
         "slots: {tone: {type: enum, from: choice, values: {formal: [polite], casual: [loose]}}}\n"),
    ],
)  # fmt: skip
def test_a_body_that_uses_the_query_or_a_slot_is_fine(tmp_path: Path, body: str, more: str) -> None:
    write(tmp_path / "templates", "a", source(body, more=more))
    assert [finding for finding in lint(load(tmp_path)[0]) if finding.code == "no-user-text"] == []
