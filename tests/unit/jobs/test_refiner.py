"""Adapters learn, merge into the weights they stand beside, and go on where they were saved."""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from offline_jobs.datasets.rows import DatasetRow  # noqa: E402
from offline_jobs.engine.budget import JobBudget  # noqa: E402 - after the check that torch is there
from offline_jobs.engine.executor import Local  # noqa: E402
from offline_jobs.engine.ledger import Ledger  # noqa: E402
from offline_jobs.engine.run import JobRun  # noqa: E402
from offline_jobs.errors import JobFailed  # noqa: E402
from offline_jobs.lora import adapted, merge  # noqa: E402
from offline_jobs.train_refiner import IGNORED, TrainRefinerOptions, _loss, _refine_template, _train, tokens, usable  # noqa: E402
from tests.doubles.recorded import settings_in  # noqa: E402
from tests.doubles.templates import write  # noqa: E402


def tiny() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    return LlamaForCausalLM(LlamaConfig(vocab_size=50, **sizes)).eval()


def pairs() -> list[tuple[Any, Any]]:
    found = []
    for number in range(6):
        ids = torch.tensor([1, number + 2, 3, number + 20, number + 21, 4])
        labels = ids.clone()
        labels[:3] = IGNORED
        found.append((ids, labels))
    return found


def a_run(folder: Path) -> JobRun:
    ledger = Ledger(folder / "jobs")
    job = ledger.create("train-refiner", {}, JobBudget(1, 1, 0.0, 600.0))
    return JobRun(job, settings_in(folder), ledger, Local())


def test_the_loss_gets_less_and_merging_changes_nothing(tmp_path: Path) -> None:
    network = tiny()
    before = _loss(network, pairs())
    adapters = adapted(network, 4)
    assert _loss(network, pairs()) == pytest.approx(before)
    _train(a_run(tmp_path), TrainRefinerOptions("x", steps=40, batch=3, rate=0.02), network, adapters, pairs())
    after = _loss(network, pairs())
    assert after < 0.95 * before
    merge(network)
    assert _loss(network, pairs()) == pytest.approx(after, rel=1e-4)
    assert not any("base" in name for name, _ in network.named_parameters())


def test_training_that_was_cut_off_ends_where_it_would_have(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole, cut = a_run(tmp_path / "whole"), a_run(tmp_path / "cut")
    asked = TrainRefinerOptions("x", steps=40, batch=2, rate=0.02)
    first = tiny()
    _train(whole, asked, first, adapted(first, 2), pairs())

    checks = 0

    def dying() -> None:
        nonlocal checks
        checks += 1
        if checks == 30:
            raise KeyboardInterrupt

    cut.check = dying  # type: ignore[method-assign] - it is called before each step
    second = tiny()
    with pytest.raises(KeyboardInterrupt):
        _train(cut, asked, second, adapted(second, 2), pairs())
    again = tiny()
    _train(cut, asked, again, adapted(again, 2), pairs())
    assert _loss(again, pairs()) == pytest.approx(_loss(first, pairs()), rel=1e-3)


def test_pairs_whose_lengths_are_out_of_proportion_teach_nothing() -> None:
    rows = [DatasetRow("a" * 10, wanted="b" * length) for length in (0, 4, 5, 60, 61)]
    assert [len(row.wanted) for row in usable(rows)] == [5, 60]


class Letters:
    """A tokenizer: a letter is a token."""

    def apply_chat_template(self, turns: list[dict[str, str]], **_: object) -> list[int]:
        return [ord(letter) for turn in turns for letter in turn["content"]]

    def __call__(self, text: str, **_: object) -> dict[str, list[int]]:
        return {"input_ids": [ord(letter) for letter in text.replace("<|im_end|>", "$")]}


REFINE = """---
schema: 1
id: polish.en
version: 1
status: active
language: en
intent: {name: polish}
purpose: refine
---
# user
Better: {{ query }}
"""


def test_it_learns_to_answer_what_the_stage_will_ask_and_nothing_is_cut(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    write(tmp_path / "templates", "polish", REFINE)
    template = _refine_template(settings, "en")
    row = DatasetRow("hi", wanted="hello")
    pair = tokens(Letters(), template, row, 16)
    assert pair is not None
    ids, labels = pair
    assert "".join(map(chr, ids.tolist())) == "Better: hihello$"
    assert labels.tolist() == [IGNORED] * 10 + [ord(letter) for letter in "hello$"]
    assert tokens(Letters(), template, row, 15) is None


def test_a_refiner_whom_nobody_would_ask_is_not_trained(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    write(tmp_path / "templates", "polish", REFINE)
    with pytest.raises(JobFailed, match="purpose: refine"):
        _refine_template(settings, "zh")
