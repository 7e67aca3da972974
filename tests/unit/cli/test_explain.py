import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.main import main

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
