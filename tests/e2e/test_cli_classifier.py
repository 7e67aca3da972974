"""`foreword classifier` on the real embedding model, with a few dozen labelled prompts."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli.main import main
from tests.doubles.static_table import place_static

CONFIG = """
[data]
folder = "data"
[embedder]
kind = "sentence"
[backends.local]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"
models = ["m"]
[prompt]
templates = ["templates"]
"""
ASKS = {
    "lost_card": ["i lost my {}", "my {} was stolen", "cannot find my {} anywhere", "where did my {} go"],
    "limit": [
        "how much can i spend with my {}",
        "raise the limit of my {}",
        "what is the limit on my {}",
        "more limit {}",
    ],
    "oos": ["sing me a song about a {}", "who invented the {}", "what colour is a {}", "paint a {}"],
}
THINGS = ["card", "credit card", "debit card", "bank card", "gold card"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier")
    (folder / "templates").mkdir()
    place_static(folder / "data")
    (folder / "config.toml").write_text(CONFIG)
    rows = [{"text": ask.format(t), "label": label} for label, asks in ASKS.items() for ask in asks for t in THINGS]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = _run(folder, "train", "--data", str(folder / "rows.jsonl"), "--no-templates", "--out", str(folder / "model"))
    assert done.exit_code == 0, done.output
    return folder


def _run(folder: Path, command: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["classifier", command, "--config", str(folder / "config.toml"), *arguments])


def test_training_writes_the_model_and_its_report(place: Path) -> None:
    assert {file.name for file in (place / "model").iterdir()} == {
        "model.npz",
        "model.json",
        "report.json",
        "confusion.txt",
    }
    assert json.loads((place / "model" / "report.json").read_bytes())["intents"] == 2
    assert not (place / "data" / "classifier" / "labelled.jsonl").exists()


def test_a_model_is_shown_measured_and_asked_why(place: Path) -> None:
    model = str(place / "model")
    shown = json.loads(_run(place, "show", "--model", model, "--json").stdout)
    assert [tier["kind"] for tier in shown["tiers"]] == ["static", "sentence"]
    data = str(place / "rows.jsonl")
    measured = json.loads(_run(place, "evaluate", "--model", model, "--data", data, "--json").stdout)
    assert measured["figures"]["accuracy"] > 0.9
    asked = _run(place, "why", "--model", model, "someone took my silver card, it is lost")
    assert "intent:   lost_card" in asked.stdout
    assert "gate" in asked.stdout


def test_a_damaged_model_is_refused_with_what_to_do(place: Path, tmp_path: Path) -> None:
    for name in ("model.npz", "model.json"):
        (tmp_path / name).write_bytes((place / "model" / name).read_bytes())
    (tmp_path / "model.npz").write_bytes(b"cut")
    found = _run(place, "show", "--model", str(tmp_path))
    assert found.exit_code == 1
    assert "does not match its checksum; delete the folder to train again" in found.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("train", "--no-templates"), "--no-templates needs --out"),
        (("evaluate",), "give at least one --data FILE"),
        (("evaluate", "--data", "config.toml"), "config.toml:2: expected"),
    ],
)
def test_what_is_missing_is_said(
    arguments: tuple[str, ...], told: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    found = _run(place, arguments[0], *arguments[1:])
    assert found.exit_code != 0
    assert told in found.output
