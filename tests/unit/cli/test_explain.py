import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.main import main
from tests.doubles.templates import source, write

CONFIG = """
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"
models = ["gpt-4o"]
"""
SPOKEN = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    "body",
    [
        {"model": "gpt-4o", "instructions": "Be brief.", "input": "Hi"},
        {"model": "gpt-4o", "messages": SPOKEN},
    ],
)
def test_the_bodies_of_chats_and_of_responses_are_explained(tmp_path: Path, body: dict[str, object]) -> None:
    file = tmp_path / "config.toml"
    file.write_text(CONFIG)

    result = CliRunner().invoke(main, ["explain", json.dumps(body), "--json", "--config", str(file)])

    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["body"] == {"model": "gpt-4o", "messages": SPOKEN}


def test_a_template_that_is_not_there_ends_with_status_1_and_near_names(tmp_path: Path) -> None:
    write(tmp_path / "templates", "refund", source())
    file = tmp_path / "config.toml"
    file.write_text(CONFIG)

    for ref in ("refnud.en", "refund.en@9"):
        result = CliRunner().invoke(main, ["explain", "hello", "--template", ref, "--config", str(file)])
        assert (result.exit_code, "refund.en" in result.output.partition(ref)[2]) == (1, True), result.output
    done = CliRunner().invoke(main, ["explain", "hello", "--template", "refund.en", "--config", str(file)])
    assert done.exit_code == 0, done.output
