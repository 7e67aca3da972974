"""Files and databases that commands make are readable by their owner alone."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.check import open_folders
from gateway.cli.main import main
from gateway.disk.atomic_file import write_whole
from tests.doubles.recorded import settings_in


def test_what_a_command_makes_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        (tmp_path / "config.toml").write_text('[data]\nfolder = "data"\n')
        result = CliRunner().invoke(main, ["exchanges", "list", "--config", str(tmp_path / "config.toml")])
        assert result.exit_code == 0, result.output
        assert os.umask(0o022) == 0o022  # the test's own process keeps its mask
    finally:
        os.umask(before)
    made = [tmp_path / "data", *(tmp_path / "data").rglob("*")]
    assert len(made) > 1
    assert {str(path): path.stat().st_mode & 0o077 for path in made} == {str(path): 0 for path in made}


@pytest.mark.parametrize(("mode", "warnings"), [(0o700, 0), (0o755, 1), (0o710, 1)])
def test_check_warns_of_a_data_folder_that_others_can_look_into(tmp_path: Path, mode: int, warnings: int) -> None:
    settings = settings_in(tmp_path)
    assert open_folders(settings) == []
    settings.data_folder.mkdir()
    settings.data_folder.chmod(mode)
    assert len(open_folders(settings)) == warnings


def test_a_new_file_is_private_and_an_old_one_keeps_its_mode(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.write_text("old")
    shared.chmod(0o640)
    for file in (tmp_path / "new", shared):
        write_whole(file, "text")
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("new", "shared")] == [0o600, 0o640]
