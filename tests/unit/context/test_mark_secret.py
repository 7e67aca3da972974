import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gateway.context.mark_secret import FILE, mark_secret


def test_the_configured_secret_is_used_and_nothing_is_written(tmp_path: Path) -> None:
    assert mark_secret("of the configuration", tmp_path / "data") == b"of the configuration"
    assert not (tmp_path / "data").exists()


def test_a_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    first = mark_secret("", tmp_path / "data")

    assert mark_secret("", tmp_path / "data") == first
    assert len(first) == 64
    assert stat.S_IMODE((tmp_path / "data" / FILE).stat().st_mode) == 0o600
    assert mark_secret("", tmp_path / "other") != first


def test_processes_that_start_together_agree_on_one_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: mark_secret("", tmp_path), range(32)))

    assert len(made) == 1
    assert [file.name for file in tmp_path.iterdir()] == [FILE]


def test_without_a_folder_to_write_to_the_secret_lasts_as_long_as_the_process(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert len(mark_secret("", tmp_path / "file" / "data")) == 32
    assert len(mark_secret("", tmp_path / "empty", makes=False)) == 32
    assert not (tmp_path / "empty").exists()
