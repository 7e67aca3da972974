"""Promotion: each step is earned, edits one word, and can be taken back."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.prompt.authoring.history import history, lineage
from gateway.prompt.authoring.promote_rollback import MoveRefused, end_canary, promote, retire, rollback, with_status
from gateway.prompt.library.library import Library, load_library
from gateway.prompt.library.pointers import Pointer, move, read_pointers
from gateway.prompt.library.versions import VersionArchive
from gateway.prompt.templates.fields import Status
from gateway.prompt.templates.parse import parse
from gateway.prompt.templates.template import Template
from tests.doubles.templates import source, write

TESTS = "tests:\n  - query: refund order 12\n    expect: [{contains: '12'}]\n"


class Shelf:
    """A template folder with its archive, loaded anew for each look."""

    def __init__(self, root: Path) -> None:
        self.folder, self.archive = root / "templates", root / "archive"

    def put(self, body: str = "{{ query }}", more: str = TESTS, **fields: object) -> Path:
        return write(self.folder, "refund", source(f"# user\n{body}\n", more=more, **fields))

    def library(self) -> Library:
        library, errors = load_library([self.folder], VersionArchive(self.archive))
        assert errors == []
        return library

    def newest(self) -> Template:
        found = self.library().get("refund.en")
        assert found is not None
        return found

    def promote(self, to: Status | None = None, share: float = 0.0) -> tuple[Status, Pointer]:
        moved = promote(self.library(), [self.folder], self.newest(), to, share)
        return moved.after, moved.pointer

    def speaks(self) -> list[int]:
        offered = self.library().candidates("refund", "en")
        return [one.version for one in (offered.stable, offered.canary) if one]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_a_new_version_goes_all_the_way_and_back(shelf: Shelf) -> None:
    shelf.put()
    assert shelf.speaks() == [1]
    shelf.put("better {{ query }}", version=2, status="draft")
    assert shelf.promote() == (Status.CANDIDATE, Pointer())
    assert shelf.speaks() == [1]
    assert shelf.promote(share=0.2) == (Status.CANARY, Pointer(canary=2, share=0.2))
    assert shelf.speaks() == [1, 2]
    assert shelf.promote() == (Status.ACTIVE, Pointer(production=2, previous=1))
    assert shelf.speaks() == [2]
    assert rollback(shelf.library(), [shelf.folder], "refund.en") == Pointer(production=1, previous=2)
    assert shelf.speaks() == [1]
    rollback(shelf.library(), [shelf.folder], "refund.en")
    assert shelf.speaks() == [2]
    with pytest.raises(MoveRefused, match="there is no next step"):
        shelf.promote()


def test_a_canary_can_be_taken_back(shelf: Shelf) -> None:
    shelf.put()
    shelf.library()
    shelf.put("better {{ query }}", version=2, status="candidate")
    shelf.promote()
    assert shelf.speaks() == [1, 2]
    rollback(shelf.library(), [shelf.folder], "refund.en")
    assert shelf.speaks() == [1]
    assert shelf.newest().status is Status.CANDIDATE
    assert read_pointers(shelf.folder)["refund.en"].pointer == Pointer()
    with pytest.raises(MoveRefused, match=r"no promotion to take back.*retire refund\.en@1"):
        rollback(shelf.library(), [shelf.folder], "refund.en")


def test_a_line_without_a_canary_means_none_whatever_the_file_says(shelf: Shelf) -> None:
    shelf.put()
    shelf.library()
    shelf.put("better {{ query }}", version=2, status="canary")
    assert shelf.speaks() == [1, 2]
    move(shelf.folder, "refund.en", Pointer(canary=2))
    move(shelf.folder, "refund.en", Pointer())
    assert shelf.speaks() == [1]


@pytest.mark.parametrize("status", ["status: canary", "status:\n  canary"])
@pytest.mark.parametrize("take_back", [rollback, end_canary])
def test_a_canary_by_its_status_alone_can_be_taken_back(
    shelf: Shelf, status: str, take_back: Callable[[Library, list[Path], str], Pointer]
) -> None:
    shelf.put()
    shelf.library()
    file = shelf.put("better {{ query }}", version=2, status="canary")
    file.write_text(file.read_text().replace("status: canary", status))
    assert shelf.speaks() == [1, 2]
    take_back(shelf.library(), [shelf.folder], "refund.en")
    assert shelf.speaks() == [1]


def test_a_move_by_another_process_in_between_is_not_overwritten(shelf: Shelf) -> None:
    shelf.put()
    shelf.library()
    shelf.put("better {{ query }}", version=2, status="candidate")
    library, newest = shelf.library(), shelf.newest()
    move(shelf.folder, "refund.en", Pointer(production=1))
    with pytest.raises(MoveRefused, match="in the meantime"):
        promote(library, [shelf.folder], newest)
    assert read_pointers(shelf.folder)["refund.en"].pointer == Pointer(production=1)
    assert shelf.newest().status is Status.CANDIDATE


def test_a_file_that_was_edited_in_between_is_not_overwritten(shelf: Shelf) -> None:
    shelf.put(status="draft")
    library, newest = shelf.library(), shelf.newest()
    shelf.put("edited {{ query }}", status="draft")
    with pytest.raises(MoveRefused, match="has changed since it was read"):
        promote(library, [shelf.folder], newest)


def test_a_step_that_makes_it_speak_is_examined_as_if_it_were_made(shelf: Shelf) -> None:
    seen = []

    def examine(library: Library, template: Template) -> list[str]:
        seen.append([(one.version, one.active) for one in library.templates])
        return [f"{template.ref} takes what is not its own"]

    shelf.put(status="draft")
    promote(shelf.library(), [shelf.folder], shelf.newest(), examine=examine)
    assert seen == []
    with pytest.raises(MoveRefused, match="takes what is not its own"):
        promote(shelf.library(), [shelf.folder], shelf.newest(), examine=examine)
    assert seen == [[(1, True)]]
    assert shelf.newest().status is Status.CANDIDATE


def test_a_template_that_does_not_lint_or_pass_its_tests_stays_where_it_is(shelf: Shelf) -> None:
    file = shelf.put(status="candidate", more="slots: {tone: number}\n", match=["only one"])
    before = file.read_text()
    with pytest.raises(MoveRefused) as caught:
        shelf.promote()
    assert any("1 match examples; at least 8" in reason for reason in caught.value.reasons)
    assert any("slot 'tone' is not used" in reason for reason in caught.value.reasons)
    assert file.read_text() == before
    shelf.put(status="draft", more="")
    with pytest.raises(MoveRefused, match="a candidate needs at least one test in `tests:`"):
        shelf.promote()
    shelf.put(status="draft", more=TESTS.replace("'12'}", "'13'}"))
    with pytest.raises(MoveRefused, match="do not contain '13'"):
        shelf.promote()


def test_a_step_cannot_be_left_out(shelf: Shelf) -> None:
    shelf.put(status="draft")
    with pytest.raises(MoveRefused, match="the next step is candidate, not active"):
        shelf.promote(Status.ACTIVE)


def test_what_is_retired_speaks_no_more_and_its_pointers_are_gone(shelf: Shelf) -> None:
    shelf.put()
    shelf.library()
    shelf.put("better {{ query }}", version=2, status="canary")
    shelf.promote()
    retire(shelf.library(), [shelf.folder], shelf.newest())
    assert shelf.speaks() == []
    assert read_pointers(shelf.folder)["refund.en"].pointer == Pointer(previous=1)
    with pytest.raises(MoveRefused, match="retired already"):
        retire(shelf.library(), [shelf.folder], shelf.newest())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("status: draft", "status: candidate"),
        ("status:   'draft'   # mine", "status:   candidate   # mine"),
        ('status: "draft"', "status: candidate"),
    ],
)
def test_one_word_of_the_file_changes(before: str, after: str) -> None:
    text = "# not yaml\n".join(["", ""]) + source(status="draft", more="# keep: me\n").replace("status: draft", before)
    text = text.removeprefix("# not yaml\n").replace("\n", "\r\n")
    changed = with_status(text, parse(text, "f"), Status.CANDIDATE)
    assert changed == text.replace(before, after)


def test_a_status_that_was_left_out_gets_a_line(tmp_path: Path) -> None:
    text = source(status="draft").replace("status: draft\n", "")
    changed = with_status(text, parse(text, "f"), Status.CANDIDATE)
    assert changed == text.replace("version: 1\n", "version: 1\nstatus: candidate\n")


def test_a_status_in_an_odd_place_is_left_to_its_author() -> None:
    text = source(status="draft").replace("status: draft", "status:\n  draft")
    with pytest.raises(MoveRefused, match="on a line of its own"):
        with_status(text, parse(text, "f"), Status.CANDIDATE)


def test_history_has_every_version_below_what_it_was_made_from(shelf: Shelf) -> None:
    shelf.put()
    shelf.library()
    shelf.put("other {{ query }}")
    shelf.library()
    shelf.put("better {{ query }}", version=2, status="draft")
    found = history(shelf.library(), "refund.en")
    assert [(one.version, one.count, one.status, one.speaks, one.archived) for one in found] == [
        (1, 1, Status.ACTIVE, True, True),
        (1, 2, Status.ACTIVE, False, True),
        (2, 1, Status.DRAFT, False, False),
    ]
    assert [(depth, one.ref) for depth, one in lineage(found)] == [
        (0, "refund.en@1"),
        (1, "refund.en@2"),
        (0, "refund.en@1"),
    ]


def test_a_lineage_that_goes_in_a_circle_is_drawn_all_the_same(shelf: Shelf) -> None:
    shelf.put(more="provenance: {parent: refund.en@2}\n")
    shelf.library()
    shelf.put("better {{ query }}", version=2)
    assert {one.version for _, one in lineage(history(shelf.library(), "refund.en"))} == {1, 2}
