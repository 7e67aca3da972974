"""The file of found prompts."""

from pathlib import Path

import pytest

from gateway.prompt.found.store import FoundFileBroken, found_path, read_found
from gateway.prompt.found.table import FoundTable
from gateway.prompt.found.templates import NoSuchVersion, read_template, template_file


@pytest.mark.parametrize("content", [b"{", b'{"prompts": null}', b'{"prompts": [{"id": "\xff"}]}'])
def test_a_broken_file_is_a_problem_and_the_last_prompts_stay(tmp_path: Path, content: bytes) -> None:
    file = found_path(tmp_path)
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(FoundFileBroken):
        read_found(file)
    table = FoundTable(file)
    table.refresh()
    assert "cannot be read" in table.problem


def test_a_broken_template_is_no_version(tmp_path: Path) -> None:
    file = template_file(tmp_path, "p-1")
    file.parent.mkdir(parents=True)
    file.write_bytes(b'{"id": "\xff"}')
    with pytest.raises(NoSuchVersion):
        read_template(tmp_path, "p-1", 1)
