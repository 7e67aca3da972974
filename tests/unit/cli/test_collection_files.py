from pathlib import Path

from gateway.cli.collections.parts import files_of


def written(folder: Path, *names: str) -> list[Path]:
    files = [folder / name for name in names]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("text")
    return files


def test_the_gateways_own_data_is_left_out_of_a_folder_around_it(tmp_path: Path) -> None:
    leave, *_ = written(tmp_path, "docs/leave.md", "data/records/a.jsonl", "data/uploads/b.txt")

    assert files_of([tmp_path], tmp_path / "data") == ([leave], True)
    assert files_of([tmp_path / "docs"], tmp_path / "data") == ([leave], False)


def test_what_is_named_inside_the_data_folder_is_read(tmp_path: Path) -> None:
    own, inside = written(tmp_path, "data/a.md", "data/docs/b.md")

    assert files_of([own, tmp_path / "data" / "docs"], tmp_path / "data") == ([own, inside], False)
