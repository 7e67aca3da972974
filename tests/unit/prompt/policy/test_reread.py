"""Files that another gateway or a command changes: the change is in use within half a second."""

from pathlib import Path

from gateway.prompt.found import table
from gateway.prompt.policy import reread


def test_a_change_is_read_within_half_a_second_and_a_broken_file_keeps_the_last(tmp_path: Path) -> None:
    now = 0.0
    file = tmp_path / "gains.json"
    file.write_text("one")

    def read(path: Path) -> str | None:
        return None if path.read_text() == "broken" else path.read_text()

    content = reread.RereadFile(file, "", read, lambda: now)
    assert content.current() == "one"
    file.write_text("second")
    now = 0.5
    assert content.current() == "second"
    file.write_text("broken")
    now = 1.0
    assert content.current() == "second"


def test_found_prompts_are_looked_at_twice_a_second() -> None:
    assert table.LOOK_EVERY_S <= 0.5
