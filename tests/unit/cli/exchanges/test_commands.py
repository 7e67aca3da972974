"""`foreword exchanges` on a folder that a killed server left: one exchange in the spool, with hostile text."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from gateway.ask import Turn
from gateway.cli.exchanges.tables import ARMS
from gateway.cli.main import main
from gateway.exchange import Arm
from gateway.records.database import Database
from gateway.records.feedback import Feedback
from gateway.records.spool import Spool
from gateway.wire.chat.answer import read_answer
from tests.doubles.exchanges import an_exchange, an_outcome


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.toml"
    file.write_text("")
    spool = Spool(tmp_path / "data" / "spool", "full", read_answer=read_answer)
    spool.record(replace(an_exchange(), turns=(Turn("user", "[bold]sent\x1b[2J"),)), an_outcome())
    spool.close()
    return file


def run(config: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["exchanges", *words, "--config", str(config)], env={"COLUMNS": "200"})


def test_the_list_shows_what_a_killed_server_left_in_its_spool(config: Path) -> None:
    result = run(config, "list")

    assert result.exit_code == 0, result.output
    assert "ex-1" in result.output
    assert "classify-text/en" in result.output


def test_a_list_for_scripts_is_one_object_a_line(config: Path) -> None:
    result = run(config, "list", "--json", "--model", "small", "--since", "2020-01-01")

    (line,) = result.output.splitlines()
    assert json.loads(line) == {
        "id": "ex-1",
        "time_s": 1_800_000_000.0,
        "key": "app",
        "endpoint": "chat/completions",
        "model": "small",
        "intent": "classify-text",
        "template": "classify-text/en",
        "status": 200,
        "ending": "finished",
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_us": 1000,
    }


def test_filters_that_fit_nothing_give_an_empty_list(config: Path) -> None:
    assert run(config, "list", "--json", "--intent", "translate").output == ""
    assert "No exchanges" in run(config, "list", "--intent", "translate").output


@pytest.mark.parametrize("since", ["yesterday", "5", "2h ago"])
def test_a_time_that_is_none_is_refused_with_examples(config: Path, since: str) -> None:
    result = run(config, "list", "--since", since)

    assert result.exit_code == 2
    assert "write 30m, 2h, 7d" in result.output


def test_show_tells_the_whole_story(config: Path) -> None:
    run(config, "list")
    database = Database.open(f"sqlite:///{config.parent / 'data' / 'records.db'}")
    database.add_feedback(Feedback("ex-1", 0.0, comment="too long", answer="No."))
    database.close()

    shown = run(config, "show", "ex-1").output

    for part in ("my secret question", "it asks a secret", "120", "a secret passage", "The secret answer.", "too long"):
        assert part in shown


@pytest.mark.parametrize(
    ("arm", "words"), [(Arm.CANARY, "the version on trial"), (Arm.HELD, "held back as a control"), (Arm.NONE, "")]
)
def test_show_tells_which_group_of_the_experiment_the_exchange_was_in(config: Path, arm: Arm, words: str) -> None:
    exchange = an_exchange()
    spool = Spool(config.parent / "data" / "spool", "full", read_answer=read_answer)
    spool.record(replace(exchange, id="ex-2", rewrite=replace(exchange.rewrite, arm=arm)), an_outcome())
    spool.close()

    (line,) = [one for one in run(config, "show", "ex-2").output.splitlines() if one.startswith("template")]

    assert line.endswith(words)
    assert all(other in words for other in ARMS.values() if other in line)


def test_text_from_outside_is_neither_markup_nor_terminal_control(config: Path) -> None:
    shown = run(config, "show", "ex-1").output

    assert "[bold]sent\ufffd[2J" in shown
    assert "\x1b" not in shown


def test_show_for_scripts_is_the_whole_record(config: Path) -> None:
    shown = json.loads(run(config, "show", "ex-1", "--json").output)

    assert shown["answer"]["text"] == "The secret answer."
    (turn,) = shown["sent"]
    assert turn == {
        **{"role": "user", "text": "[bold]sent\x1b[2J", "source": -1},
        **{"plain": True, "around": -1, "offset": 0},
    }
    assert shown["notes"][0]["took_us"] == 120


def test_an_unknown_id_is_an_error_that_says_where_to_look(config: Path) -> None:
    result = run(config, "show", "ex-2")

    assert result.exit_code == 1
    assert "foreword exchanges list" in result.output


def test_a_wrong_database_is_a_mistake_in_the_configuration(config: Path) -> None:
    config.write_text('[records]\ndatabase = "mysql://localhost/x"\n')

    result = run(config, "list")

    assert result.exit_code == 2
    assert "[records] database: 'mysql' is not supported" in result.output


def test_the_beginning_of_an_id_shows_its_exchange(config: Path) -> None:
    shown = run(config, "show", "ex…").output
    assert "The secret answer." in shown
    assert run(config, "show", "e%").exit_code == 1
