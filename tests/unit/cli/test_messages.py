"""What commands say to mistakes that newcomers make."""

from pathlib import Path

from click.testing import CliRunner

from gateway.cli.main import main
from gateway.prompt.language.vocabulary import VOCABULARY


def said(*words: str) -> str:
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2, result.output
    return result.output


def test_a_port_that_is_no_number_is_named_as_such() -> None:
    assert "'abc' is not a port. A port is a number from 1 to 65535" in said("serve", "--port", "abc")
    assert "'99999' is not a port" in said("serve", "--port", "99999")


def test_a_folder_that_is_not_there_is_named_as_such() -> None:
    assert "there is no folder 'nope'" in said("templates", "lint", "--folder", "nope")


def test_lint_of_a_file_names_the_folder(tmp_path: Path) -> None:
    file = tmp_path / "en.prompt.md"
    file.write_text("", "utf-8")
    assert f"templates lint --folder {tmp_path}" in said("templates", "lint", str(file))


def test_lint_of_a_folder_knows_the_languages_of_the_configuration(tmp_path: Path) -> None:
    spanish = Path(__file__).resolve().parents[3] / "examples/spanish"
    config = tmp_path / "config.toml"
    config.write_text(f"[prompt]\nlanguages = [{str(spanish / 'es')!r}]\n", "utf-8")
    try:
        ran = CliRunner().invoke(
            main, ["templates", "lint", "--folder", str(spanish / "templates"), "--config", str(config)]
        )
    finally:
        VOCABULARY.use([])
    assert ran.exit_code == 0, ran.output
