"""Versions: each stays addressable, none changes unseen, and pointers say which one speaks."""

from multiprocessing import get_context
from pathlib import Path

import pytest

from gateway.disk.atomic_file import locked
from gateway.errors import TemplateError
from gateway.prompt.library.library import Library, load_library
from gateway.prompt.library.pointers import Pointer, move, read_pointers
from gateway.prompt.library.pools import read_pool
from gateway.prompt.library.versions import VersionArchive
from tests.doubles.templates import source, write


def load(folder: Path) -> tuple[Library, list[TemplateError]]:
    return load_library([folder / "templates"], VersionArchive(folder / "archive"))


def put(folder: Path, body: str, **fields: object) -> Path:
    return write(folder / "templates", "refund/en", source(f"# user\n{body}\n{{{{ query }}}}\n", **fields))


def test_an_older_version_is_there_after_the_file_has_moved_on(tmp_path: Path) -> None:
    put(tmp_path, "one")
    load(tmp_path)
    put(tmp_path, "two", version=2)
    library, errors = load(tmp_path)
    assert errors == []
    old, new = library.get("refund.en", 1), library.get("refund.en", 2)
    assert old is not None and old.parts[0].source.startswith("one")
    assert new is not None and new.parts[0].source.startswith("two")
    assert library.get("refund.en", 3) is None
    assert library.candidates("refund", "en").stable is new


def test_an_active_version_speaks_on_while_the_next_is_a_draft(tmp_path: Path) -> None:
    put(tmp_path, "one")
    load(tmp_path)
    put(tmp_path, "two", version=2, status="draft")
    library, errors = load(tmp_path)
    assert errors == []
    speaking = library.candidates("refund", "en").stable
    assert speaking is not None and speaking.version == 1
    put(tmp_path, "two", version=2, status="retired")
    assert load(tmp_path)[0].candidates("refund", "en").stable is None


def test_content_that_changes_without_a_new_version_is_reported_until_it_is_mended(tmp_path: Path) -> None:
    put(tmp_path, "one")
    assert load(tmp_path)[0].changed == ()
    file = put(tmp_path, "two")
    for _ in range(2):
        (changed,) = load(tmp_path)[0].changed
        assert (changed.file, changed.line) == (str(file), 4)
        assert "write `version: 2`" in changed.what
    put(tmp_path, "one")
    assert load(tmp_path)[0].changed == ()
    contents = [kept.count for kept in VersionArchive(tmp_path / "archive").versions("refund.en")]
    assert contents == [1, 2]


def test_what_a_model_is_not_told_may_change_within_a_version(tmp_path: Path) -> None:
    put(tmp_path, "one", status="candidate")
    load(tmp_path)
    put(tmp_path, "one", status="active", match=[f"another example {n}" for n in range(8)])
    library, _ = load(tmp_path)
    assert library.changed == ()
    kept = library.archive.get("refund.en", 1) if library.archive else None
    assert kept is not None and kept.active


def test_an_older_version_finds_its_examples_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "templates" / "refund").mkdir(parents=True)
    (tmp_path / "templates" / "refund" / "pool.jsonl").write_text('{"text": "a", "label": "b"}\n')
    put(tmp_path, "one", more="examples: {pool: pool.jsonl, k: 1, as: turns}\n")
    load(tmp_path)
    put(tmp_path, "two", version=2, status="draft")
    speaking = load(tmp_path)[0].candidates("refund", "en").stable
    assert speaking is not None and speaking.version == 1
    assert [shot.output for shot in read_pool(speaking).shots] == ["b"]


def test_a_draft_may_change_as_often_as_its_author_likes(tmp_path: Path) -> None:
    for body in ("one", "two", "three"):
        put(tmp_path, body, status="draft")
        library, errors = load(tmp_path)
        assert (library.changed, errors) == ((), [])
    assert not (tmp_path / "archive").exists()


def test_pointers_say_which_version_speaks_and_which_is_tried(tmp_path: Path) -> None:
    put(tmp_path, "one")
    load(tmp_path)
    put(tmp_path, "two", version=2)
    move(tmp_path / "templates", "refund.en", Pointer(production=1, canary=2, share=0.1))
    library, errors = load(tmp_path)
    assert errors == []
    offered = library.candidates("refund", "en")
    assert offered.stable is not None and offered.stable.version == 1
    assert offered.canary is not None and offered.canary.version == 2
    assert offered.share == 0.1
    assert library.speaking["refund.en"] is offered.stable


def test_a_canary_without_a_pointer_gets_a_small_share(tmp_path: Path) -> None:
    put(tmp_path, "one")
    load(tmp_path)
    put(tmp_path, "two", version=2, status="canary")
    offered = load(tmp_path)[0].candidates("refund", "en")
    assert [offered.stable and offered.stable.version, offered.canary and offered.canary.version] == [1, 2]
    assert offered.share == 0.05


def test_a_pointer_to_nothing_is_reported_and_the_newest_active_version_speaks(tmp_path: Path) -> None:
    put(tmp_path, "one")
    move(tmp_path / "templates", "refund.en", Pointer(production=7))
    library, (error,) = load(tmp_path)
    assert (Path(error.file).name, error.line) == ("pointers.yaml", 2)
    assert "version 7, which is neither in the folders nor in the archive" in error.what
    speaking = library.candidates("refund", "en").stable
    assert speaking is not None and speaking.version == 1


def test_moving_a_pointer_leaves_the_rest_of_the_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "pointers.yaml"
    file.write_text(
        "# mine\na.en: {production: 1}  # why\nb.en:\n  production: 2\n  canary: 3\n# end\nc.en: {canary: 9}\n"
    )
    move(tmp_path, "b.en", Pointer(production=3, previous=2))
    assert file.read_text() == (
        "# mine\na.en: {production: 1}  # why\nb.en: {production: 3, previous: 2}\n# end\nc.en: {canary: 9}\n"
    )
    move(tmp_path, "b.en", Pointer())
    move(tmp_path, "d.en", Pointer(canary=2, share=0.5))
    assert file.read_text().splitlines()[2:] == ["# end", "c.en: {canary: 9}", "d.en: {canary: 2, share: 0.5}"]
    assert read_pointers(tmp_path)["d.en"].pointer == Pointer(canary=2, share=0.5)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a.en: {prod: 1}", 1, "unknown key 'prod'"),
        ("\na.en: {production: x}", 2, "production"),
        ("a.en: {canary: 1, share: 2}", 1, "`share` is between 0 and 1"),
        ("a.en: {canary: 1, production: 1}", 1, "production and canary at once"),
        ("A b: {canary: 1}", 1, "cannot be a template's id"),
        ("a.en: 3", 1, "must be `key: value` lines"),
    ],
)
def test_a_mistake_in_the_pointers_names_its_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    (tmp_path / "pointers.yaml").write_text(text)
    with pytest.raises(TemplateError) as caught:
        read_pointers(tmp_path)
    assert what in str(caught.value)
    assert caught.value.line == line
    with pytest.raises(TemplateError):
        move(tmp_path, "b.en", Pointer(production=1))


def _move_many(folder: Path, prefix: str) -> None:
    for number in range(40):
        move(folder, f"{prefix}-{number}.en", Pointer(production=1))


def test_two_processes_that_move_pointers_lose_none(tmp_path: Path) -> None:
    both = [get_context("spawn").Process(target=_move_many, args=(tmp_path, prefix)) for prefix in "ab"]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    assert len(read_pointers(tmp_path)) == 80


def test_a_lock_that_is_not_released_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    with (
        locked(file),
        pytest.raises(TimeoutError, match=r"a\.json is being written by another"),
        locked(file, patience_s=0.05),
    ):
        pass
