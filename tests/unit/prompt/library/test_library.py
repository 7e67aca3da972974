"""The library: whole folders, exact languages, and broken files that are reported and left out."""

from pathlib import Path

from gateway.prompt.library.library import Library, load_library
from tests.doubles.templates import source, write


def test_a_broken_file_is_reported_and_the_others_are_there(tmp_path: Path) -> None:
    write(tmp_path, "a/good", source())
    broken = write(tmp_path, "b/broken", source(id="b.en").replace("version: 1", "version: x"))
    (tmp_path / "notes.md").write_text("not a template")
    library, errors = load_library([tmp_path])
    assert [template.id for template in library.templates] == ["refund.en"]
    assert [(error.file, error.line) for error in errors] == [(str(broken), 4)]


def test_a_file_that_is_not_utf8_is_reported(tmp_path: Path) -> None:
    (tmp_path / "x.prompt.md").write_bytes(b"\xff\xfe\x00")
    library, errors = load_library([tmp_path])
    assert library.templates == ()
    assert "cannot be read" in errors[0].what


def test_a_folder_that_is_not_there_is_reported(tmp_path: Path) -> None:
    library, errors = load_library([tmp_path / "nowhere"])
    assert library == Library()
    assert "is not a folder" in errors[0].what


def test_two_folders_are_one_library_and_an_id_is_taken_once(tmp_path: Path) -> None:
    first = write(tmp_path / "one", "a", source())
    write(tmp_path / "two", "b", source(id="other.en", intent="other"))
    second = write(tmp_path / "two", "c", source())
    library, errors = load_library([tmp_path / "one", tmp_path / "two"])
    assert library.intents == ("other", "refund")
    assert [(error.file, error.line) for error in errors] == [(str(second), 3)]
    assert str(first) in errors[0].what


def test_the_same_folder_twice_is_no_clash(tmp_path: Path) -> None:
    write(tmp_path, "a", source())
    assert load_library([tmp_path, tmp_path])[1] == []


def test_a_query_never_gets_a_template_of_another_language(tmp_path: Path) -> None:
    write(tmp_path, "en", source())
    library, _ = load_library([tmp_path])
    assert library.candidates("refund", "zh").stable is None
    assert library.candidates("refund", "").stable is None
    found = library.candidates("refund", "en").stable
    assert found is not None
    assert found.id == "refund.en"


def test_only_active_templates_speak_but_any_can_be_looked_up(tmp_path: Path) -> None:
    write(tmp_path, "v1", source())
    write(tmp_path, "v2", source(version=2, status="candidate"))
    library, errors = load_library([tmp_path])
    assert errors == []
    speaking, newest, old = (
        library.candidates("refund", "en").stable,
        library.get("refund.en"),
        library.get("refund.en", 1),
    )
    assert speaking is not None and speaking.version == 1
    assert newest is not None and newest.version == 2
    assert old is speaking
    assert library.get("refund.en", 3) is None
    assert library.get("nothing") is None


def test_a_template_for_named_models_comes_first_and_others_are_kept_away(tmp_path: Path) -> None:
    write(tmp_path, "all", source(id="all.en", more="models: {deny: ['gpt-4*'], min_window: 4096}\n"))
    write(tmp_path, "small", source(id="small.en", more="models: {allow: ['smollm*', tiny]}\n"))
    library, _ = load_library([tmp_path])

    def chosen(model: str, window: int = 0) -> str:
        found = library.candidates("refund", "en", model, window).stable
        return found.id if found else ""

    assert chosen("smollm2") == "small.en"
    assert chosen("tiny") == "small.en"
    assert chosen("llama", 8192) == "all.en"
    assert chosen("llama", 2048) == ""
    assert chosen("gpt-4o") == ""
    assert chosen("") == "small.en"
