"""Lint finds what parsing lets through, with file, line and column."""

import json
from pathlib import Path

import pytest

from gateway.prompt.authoring.cases import run_cases
from gateway.prompt.authoring.lint import lint
from gateway.prompt.authoring.scaffold import scaffold
from gateway.prompt.library.library import load_library
from gateway.prompt.library.versions import VersionArchive
from gateway.prompt.templates.body_filters import FILTERS
from gateway.prompt.templates.faults import MAX_BODY_CHARS
from gateway.prompt.templates.fields import Language, SlotSource, Technique
from gateway.prompt.templates.findings import Severity
from gateway.prompt.templates.parse import parse
from tests.doubles.bag_embedder import BagEmbedder
from tests.doubles.templates import MATCH, source, template, write

TESTS = "tests:\n  - query: hello\n    expect: [{contains: hello}]\n"


def findings(folder: Path, level: Severity = Severity.ERROR) -> list[str]:
    library, errors = load_library([folder])
    return [str(found).removeprefix(f"{folder}/") for found in lint(library, errors) if found.level is level]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (source(more="slots: {order: number}\n"), "21:9: slot 'order' is not used in the body; use it or delete it"),
        (source(match=MATCH[:7]), "9:3: 7 match examples; at least 8, in the words of your users"),
        (source(not_=["x"]), "18:3: 1 `not` examples; at least 2 near misses show where the intent ends"),
        (source("# user\n{{ query }}" + "x" * MAX_BODY_CHARS), "22:1: the body has 4011 characters; more than 4000"),
        (source(more="technique: few-shot\n"), "21:1: a few-shot template needs `examples:`"),
        (source(more="examples: [{input: a, output: b}]\n"), "21:1: the body does not use the examples"),
        (source(not_=["x", MATCH[0].upper() + "."]), "18:3: 'please refund order number 0' is both a match"),
        (source(more="examples: {pool: no.jsonl, as: turns}\n"), "21:1: the pool no.jsonl cannot be read"),
        (source("# user\n{{ querry }}"), "23:4: no slot 'querry' is declared; did you mean 'query'?"),
    ],
)
def test_a_mistake_is_found_at_its_place(tmp_path: Path, text: str, finding: str) -> None:
    write(tmp_path, "a", text)
    (found,) = findings(tmp_path)
    assert found.startswith(f"a.prompt.md:{finding}")


def test_a_required_slot_may_be_a_condition_only(tmp_path: Path) -> None:
    write(tmp_path, "a", source(more="slots: {order: {from: number, required: true}}\n"))
    assert findings(tmp_path) == []


def test_the_same_example_in_two_intents_is_found_but_not_in_two_translations(tmp_path: Path) -> None:
    write(tmp_path, "a", source())
    write(tmp_path, "b", source(id="refund.zh", language="zh"))
    assert findings(tmp_path) == []
    write(tmp_path, "c", source(id="other.en", intent="other", match=[MATCH[0] + "!", *"abcdefgh"]))
    (found,) = findings(tmp_path)
    assert found.startswith("c.prompt.md:9:3: 'please refund order number 0!' is also a match example of")


def test_nearly_the_same_words_in_two_intents_are_a_warning(tmp_path: Path) -> None:
    one, other = "please send the blue form to my old address", "please send the blue form to my new old address"
    write(tmp_path, "a", source(match=[one, *MATCH]))
    write(tmp_path, "b", source(id="other.en", intent="other", match=[other, *"abcdefgh"]))
    (found,) = [text for text in findings(tmp_path, Severity.WARNING) if "overlapping" in text]
    assert found.startswith(f"b.prompt.md:9:3: warning: {other!r} has nearly the words of {one!r} of intent 'refund'")


def test_examples_that_mean_the_same_are_found_with_an_embedder(tmp_path: Path) -> None:
    write(tmp_path, "a", source(match=["red red blue", *MATCH]))
    write(tmp_path, "b", source(id="other.en", intent="other", match=["blue red red", *"abcdefgh"]))
    library, errors = load_library([tmp_path])
    found = [one for one in lint(library, errors, embed=BagEmbedder().embed) if one.code == "overlapping-examples"]
    assert [(one.line, "'blue red red' means nearly the same as 'red red blue'" in one.what) for one in found] == [
        (9, True)
    ]


def test_a_template_that_is_never_chosen_is_found(tmp_path: Path) -> None:
    write(tmp_path, "a", source())
    shadowed = write(tmp_path, "b", source(id="second.en"))
    (found,) = findings(tmp_path)
    assert found.startswith("b.prompt.md:5:1: it is never chosen: refund.en@1")
    shadowed.write_text(source(id="second.en", more="models: {allow: ['smollm*']}\n"))
    assert findings(tmp_path) == []
    shadowed.write_text(source(id="second.en", more="models: {allow: ['gpt-4'], deny: ['gpt*']}\n"))
    (found,) = findings(tmp_path)
    assert found.startswith("b.prompt.md:21:1: `models` allows no model that it does not deny")


def test_a_version_that_a_pointer_passes_over_is_a_warning(tmp_path: Path) -> None:
    write(tmp_path, "a", source(version=2))
    write(tmp_path, "b", source())
    (tmp_path / "pointers.yaml").write_text("refund.en: {production: 1}\n")
    found = [text for text in findings(tmp_path, Severity.WARNING) if "[unreachable]" in text]
    assert len(found) == 1 and "pointers.yaml names version 1" in found[0]


def test_a_body_that_does_not_fit_its_window_is_found(tmp_path: Path) -> None:
    more = "slots: {text: {from: payload, max_chars: 8000}}\nmodels: {min_window: 2048}\noutput: {max_tokens: 300}\n"
    write(tmp_path, "a", source("# user\n{{ query }}\n{{ text }}", more=more))
    (found,) = findings(tmp_path)
    assert "2305 tokens (body 5, slots at their longest 2000, answer 300)" in found
    assert "do not fit a window of 2048" in found


def test_a_version_that_changed_is_found(tmp_path: Path) -> None:
    archive = VersionArchive(tmp_path / "archive")
    write(tmp_path / "t", "a", source())
    load_library([tmp_path / "t"], archive)
    write(tmp_path / "t", "a", source("# user\nnew {{ query }}"))
    library, errors = load_library([tmp_path / "t"], VersionArchive(tmp_path / "archive"), keep=False)
    (found,) = [one for one in lint(library, errors) if one.code == "version-not-raised"]
    assert (found.line, "write `version: 2`" in found.what) == (4, True)


@pytest.mark.parametrize(
    "secret",
    [
        "sk-" + "a1B2" * 6,
        "AKIA" + "Z" * 16,
        "ghp_" + "x" * 36,
        "-----BEGIN RSA PRIVATE KEY-----",
        "Bearer " + "q" * 24,
        "postgresql://joe:hunter2@db/x",
        "password: hunter2",
    ],
)
def test_a_secret_is_found_and_not_repeated(tmp_path: Path, secret: str) -> None:
    write(tmp_path, "a", source(f"# user\n{{{{ query }}}}\nUse {secret} now."))
    (found,) = findings(tmp_path)
    assert found.startswith("a.prompt.md:24:") and found.endswith("[secret]")
    assert secret not in found


@pytest.mark.parametrize("language", list(Language))
def test_what_a_new_file_wrote_is_a_mistake_once_the_template_leaves_the_draft(
    tmp_path: Path, language: Language
) -> None:
    draft = scaffold(f"refund.{language}", "refund", language, Technique.FEW_SHOT)
    path = write(tmp_path, "new", draft)
    assert findings(tmp_path) == []
    path.write_text(draft.replace("status: draft", "status: candidate"), "utf-8")
    left = [found.split(" ")[0].split(":")[1] for found in findings(tmp_path) if found.endswith("[placeholder]")]
    # the description, each example, the test and its expectation, the author, two lines of the body
    assert len(left) == 1 + 8 + 2 + 2 + 2 + 1 + 2


def test_an_id_that_is_there_twice_is_found(tmp_path: Path) -> None:
    write(tmp_path, "a", source())
    write(tmp_path, "b", source())
    (found,) = findings(tmp_path)
    assert found.startswith("b.prompt.md:3:1: the id 'refund.en' with version 1 is taken by")


def test_a_pool_smaller_than_k_and_a_broken_row_are_found(tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    write(tmp_path, "a", source(more="examples: {pool: pool.jsonl, k: 3, as: turns}\n"))
    pool.write_text(json.dumps({"text": "a", "label": "b"}) + "\n")
    assert findings(tmp_path) == [
        "a.prompt.md:21:1: the pool has 1 different examples, fewer than k: 3; add some, or lower `k` [pool-too-small]"
    ]
    pool.write_text("{}\n")
    assert findings(tmp_path) == [
        "pool.jsonl:1:1: has no field 'text'; the template says input: text, output: label [pool-unreadable]"
    ]


def test_missing_translations_and_tests_are_warnings(tmp_path: Path) -> None:
    write(tmp_path, "en", source())
    assert findings(tmp_path, Severity.WARNING) == [
        "en.prompt.md:3:1: warning: an active template needs at least one test in `tests:` [no-tests]",
        "en.prompt.md:6:1: warning: the family 'refund' has no active template in 'zh'; "
        "foreword templates new .../zh.prompt.md --language zh [missing-language]",
    ]
    write(tmp_path, "en", source(more=TESTS))
    write(tmp_path, "zh", source(id="refund.zh", language="zh", more=TESTS))
    assert findings(tmp_path, Severity.WARNING) == []


def test_a_slot_of_the_request_in_each_examples_message_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "pool.jsonl").write_text('{"text": "a", "label": "b"}\n')
    more = "slots: {text: payload, order: number}\nexamples: {pool: pool.jsonl, k: 1, as: turns}\n"
    write(tmp_path, "a", source("# user\n{{ text }} {{ order }}", status="draft", more=more))
    (found,) = findings(tmp_path, Severity.WARNING)
    assert "the message of each example shows 'order' of the current request" in found


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("technique", Technique)
def test_a_new_template_lints_clean_and_passes_its_own_test(
    tmp_path: Path, language: Language, technique: Technique
) -> None:
    path = write(tmp_path, "new", scaffold(f"refund.{language}", "refund", language, technique))
    assert findings(tmp_path) == []
    assert findings(tmp_path, Severity.WARNING) == []
    (unfinished,) = findings(tmp_path, Severity.NOTE)
    assert "fill in the lines 8, 12," in unfinished
    assert run_cases(parse(path.read_text("utf-8"), str(path))) == ()


@pytest.mark.parametrize(
    ("expect", "what"),
    [
        ("{contains: bye}", "the messages do not contain 'bye'"),
        ("{not_contains: hello}", "the messages contain 'hello'"),
        ("{system_contains: kind}", "the system message does not contain 'kind'"),
        ("{max_words: 2}", "the messages have 4 words; expected at most 2"),
        ("{roles: [user]}", "the roles are system, user; expected user"),
        ("{no_match: true}", "expected no rewrite, but the template is used"),
    ],
)
def test_an_expectation_that_does_not_hold_is_told_with_the_line_of_its_test(expect: str, what: str) -> None:
    more = f"tests:\n  - query: hello you\n    expect: [{expect}]\n"
    (failure,) = run_cases(template("# system\nBe brief.\n# user\n{{ query }}", more=more))
    assert (failure.line, failure.what) == (22, what)


def test_a_query_that_does_not_fit_fails_unless_the_test_says_so() -> None:
    more = "slots: {text: {from: payload, required: true}}\ntests:\n  - query: hello\n    expect: [{%s}]\n"
    body = "# user\n{{ text }}"
    (failure,) = run_cases(template(body, more=more % "contains: hello"))
    assert failure.what.startswith("no rewrite: slot 'text' of refund.en cannot be filled")
    assert run_cases(template(body, more=more % "no_match: true")) == ()


def test_slots_can_be_given_in_a_test() -> None:
    more = (
        "slots: {tone: quoted}\ntests:\n  - slots: {tone: warm, query: hello}\n    expect: [{contains: warm hello}]\n"
    )
    assert run_cases(template("# user\n{{ tone }} {{ query }}", more=more)) == ()


def test_the_example_on_the_page_for_authors_is_true() -> None:
    page = (Path(__file__).parents[4] / "docs" / "templates.md").read_text("utf-8")
    text = page.split("```markdown\n", 1)[1].split("```", 1)[0]
    read = parse(text, "docs.prompt.md")
    assert read.id == "support.refund.en"
    assert run_cases(read) == ()
    assert [name for name in FILTERS if name not in page] == []
    assert [str(name) for name in SlotSource if f"`{name}`" not in page] == []


def test_the_templates_that_we_ship_have_no_mistakes() -> None:
    folder = Path(__file__).parents[4] / "templates"
    library, errors = load_library([folder])
    assert [str(found) for found in lint(library, errors) if found.level is Severity.ERROR] == []
    assert [str(failure) for read in library.templates for failure in run_cases(read)] == []
    assert len([read for read in library.templates if read.active]) >= 28


def test_the_example_of_the_docs_lints_and_passes_its_tests(tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs" / "templates.md").read_text("utf-8")
    text = page.partition("```markdown\n")[2].partition("```")[0]
    write(tmp_path, "refund", text)
    library, errors = load_library([tmp_path])
    assert [str(finding) for finding in lint(library, errors) if finding.level is Severity.ERROR] == []
    assert run_cases(library.templates[0]) == ()


@pytest.mark.parametrize(
    "body",
    [
        '"""\n{{ text }}\n"""',
        "```text\n{{ text }}\n```",
        '"{{ text }}"',
        "“{{ text }}”",
        "'''{{ text }}'''",
        '"{{ query }}"',
    ],
)
def test_a_slot_between_quotes_that_its_text_can_close_is_a_warning(tmp_path: Path, body: str) -> None:
    write(
        tmp_path,
        "a",
        source(f"# user\n{{{{ query }}}}\n{body}\n", more="slots: {text: {from: payload}}\n" * ("text }}" in body)),
    )

    (found,) = [text for text in findings(tmp_path, Severity.WARNING) if "can close" in text]

    assert "| fenced }}" in found


def test_a_fenced_slot_and_one_with_values_of_its_own_need_no_other_fence(tmp_path: Path) -> None:
    slots = "slots:\n  text: {from: payload}\n  tone: {values: {formal: [polite]}}\n"
    write(tmp_path, "a", source('# user\n{{ query }}\n{{ text | fenced }}\nTone: "{{ tone }}"\n', more=slots))

    assert not [text for text in findings(tmp_path, Severity.WARNING) if "can close" in text]


@pytest.mark.parametrize(
    "body",
    [
        "{{ text }}",
        "{{ query }}\n{{ query }}",
        "{{ query | trim }}",
        "{% if text %}{{ text }}{% else %}{{ query }}{% endif %}",
        "{% if text %}{{ query }}{% endif %}",
    ],
)
def test_a_body_that_takes_the_message_apart_cannot_be_chosen(tmp_path: Path, body: str) -> None:
    write(tmp_path, "a", source(f"# user\n{body}", more="slots: {text: {from: payload}}\n"))
    (found,) = findings(tmp_path)
    assert "[message-in-pieces]" in found


def test_a_body_may_add_to_the_message_on_every_path(tmp_path: Path) -> None:
    body = "{% if text %}{{ query }}\nBriefly.{% elif query == 'x' %}{{ query }}{% else %}So: {{ query }}{% endif %}"
    write(tmp_path, "a", source(f"# user\n{body}", more="slots: {text: {from: payload}}\n"))
    assert findings(tmp_path) == []
