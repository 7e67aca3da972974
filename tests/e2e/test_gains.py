"""`foreword gains` on a database of records, with a scripted upstream for the model that is asked again."""

import json
import subprocess
import sys
from pathlib import Path

from msgspec.structs import replace

from gateway.ask import Turn
from gateway.exchange import Arm, Intent, Rewrite, Target
from gateway.prompt.policy.gains import gains_path, read_gains
from gateway.records.database import Database
from gateway.records.schema import ExchangeRecord
from tests.conftest import UpstreamInThread
from tests.doubles.templates import source, write
from tests.doubles.upstream import Script

CONFIG = """
[backends.upstream]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
api_key = "sk-upstream"
models = ["*"]
[prompt]
mode = "on"
controls = 0.0
templates = ["mine"]
"""
ASK = "Say hello in at most two words."
RECORD = ExchangeRecord(
    "",
    time_s=100.0,
    ending="finished",
    status=200,
    turns=(Turn("user", ASK, 0),),
    route=(Target("upstream", "small"),),
    intent=Intent("refund", 0.9),
    rewrite=Rewrite("refund.en", 1, arm=Arm.HELD, withheld=(Turn("user", f"{ASK}\n\nBe brief."),)),
)


def answer(text: str) -> Script:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return Script(pieces=[json.dumps({"id": "1", "object": "chat.completion", "choices": [choice]}).encode()])


def prepared(folder: Path, port: int, pairs: int) -> Path:
    config = folder / "config.toml"
    config.write_text(CONFIG.format(port=port), "utf-8")
    text = source("# user\n{{ query }}\n\nBe brief.")
    write(folder / "mine", "refund", text)
    database = Database.open(f"sqlite:///{folder / 'data' / 'records.db'}")
    database.insert([replace(RECORD, id=f"ex-{number}") for number in range(pairs)])
    database.close()
    return config


def run(config: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "gateway.cli.main", "gains", *arguments, "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_what_is_measured_is_stored_and_shown(upstream: UpstreamInThread, tmp_path: Path) -> None:
    config = prepared(tmp_path, upstream.port, 30)
    upstream.double.play(*[answer("Much too long an answer."), answer("Short.")] * 30)
    before = json.loads(run(config, "show", "--json"))
    assert {row["model"] for row in before} == {"smollm2-135m-instruct"}  # the rows that ship

    said = run(config, "measure", "--calls", "60")

    assert "30 pairs; 30 can be scored" in said
    assert [b"Be brief." in one.body for one in upstream.double.received] == [False, True] * 30
    (gain,) = read_gains(gains_path(tmp_path / "data")).values()
    assert (gain.intent, gain.model, gain.pairs, gain.gain, gain.by) == ("refund", "small", 30, 1.0, "client's checks")
    (shown,) = [row for row in json.loads(run(config, "show", "--json")) if row not in before]
    assert shown["gain"] == 1.0
    assert "rewrite" in run(config, "show")


def test_a_dry_run_asks_nobody(upstream: UpstreamInThread, tmp_path: Path) -> None:
    config = prepared(tmp_path, upstream.port, 3)
    upstream.double.play(answer("x"))

    said = run(config, "measure", "--dry-run")

    assert "3 pairs; 3 can be scored, of 1 templates and models" in said
    assert upstream.double.received == []
    assert not gains_path(tmp_path / "data").exists()


def test_without_traffic_our_own_prompts_are_asked(upstream: UpstreamInThread, tmp_path: Path) -> None:
    config = prepared(tmp_path, upstream.port, 0)
    text = source("# user\n{{ query }}\n\nBe brief.", id="summarise.en", intent="summarise")
    write(tmp_path / "mine", "summarise", text)
    upstream.double.play(*[answer("Two. Sentences."), answer("One.")] * 2)

    done = run(config, "measure", "--calls", "4", "--model", "small")

    assert "20 pairs; 20 can be scored" in done
    assert "unknown" in done
    assert [b"Be brief." in one.body for one in upstream.double.received] == [False, True] * 2


def test_a_judge_that_prefers_a_place_is_refused_with_its_figure(upstream: UpstreamInThread, tmp_path: Path) -> None:
    config = prepared(tmp_path, upstream.port, 0)
    database = Database.open(f"sqlite:///{tmp_path / 'data' / 'records.db'}")
    database.insert([replace(RECORD, id="plain", turns=(Turn("user", "Say hello.", 0),))])
    database.close()
    upstream.double.play(*[answer("A")] * 400)

    command = [sys.executable, "-m", "gateway.cli.main", "gains", "measure", "--judge", "big", "--source", "records"]
    done = subprocess.run([*command, "--config", str(config)], capture_output=True, text=True)

    assert done.returncode == 1
    assert "big put 0 of 200 pairs of known order right; 75% are needed" in done.stderr
    assert not gains_path(tmp_path / "data").exists()
