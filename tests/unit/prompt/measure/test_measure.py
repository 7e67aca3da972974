"""Measuring before there is traffic: our prompts, a judge that is examined, scores that are kept, and the cost."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.ask import Turn
from gateway.exchange import Call, Exchange, Sampling, Target
from gateway.ports import Answer, Completed
from gateway.prompt.answers.stated_checks import stated_checks
from gateway.prompt.library.library import Library, build_library
from gateway.prompt.measure.cost import MeasureCost, cost_of_pairs
from gateway.prompt.measure.known_order import JudgeExam, examine, keep_exam, known_pairs, read_exam
from gateway.prompt.measure.pairs import COMPARISONS, AnswerPair, PairScorer
from gateway.prompt.measure.prepare import measurable, pairs_of_prompts
from gateway.prompt.measure.prompts import MeasuredPrompt, shipped_prompts
from gateway.prompt.measure.score_log import ScoreLog
from gateway.prompt.measure.unproven import models_of, unproven
from gateway.prompt.policy.decide import RewritePolicy
from gateway.prompt.policy.gains import Gain, GainTable, write_gains
from gateway.prompt.rewrite import RewriteStage
from gateway.settings.jobs import Price
from gateway.settings.models import ModelTable, Routing
from gateway.settings.prompt import PromptTable
from gateway.settings.tables import Settings
from tests.doubles.templates import template

SMALL = Target("local", "small")
ASK = "Describe the sea in at most five words."
PAIR = AnswerPair(
    "p",
    ("text", "en", "small"),
    SMALL,
    (Turn("user", ASK, 0),),
    (Turn("user", f"{ASK}\n\nBe brief."),),
    Sampling(50, 0.0),
)
CHECKED = replace(PAIR, checks=stated_checks(ASK))


class Saying:
    """A completer whose answers are a function of the prompt. Each call costs 12 tokens."""

    def __init__(self, say: Callable[[str], str]) -> None:
        self._say = say
        self.calls = 0

    async def complete(
        self,
        exchange: Exchange,
        turns: Sequence[Turn],
        *,
        purpose: str,
        model: str = "",
        sampling: Sampling = Sampling.NONE,
        schema: Mapping[str, Any] | None = None,
    ) -> Completed:
        self.calls += 1
        return Completed(Answer(self._say(turns[-1].text)), Call(purpose, prompt_tokens=10, completion_tokens=2))


def test_each_of_our_prompts_can_be_checked_and_every_intent_has_twenty_in_both_languages() -> None:
    prompts = shipped_prompts()

    assert len({prompt.id for prompt in prompts}) == len(prompts) >= 300
    assert [prompt.id for prompt in prompts if not prompt.right and not stated_checks(prompt.prompt)] == []
    cells = Counter((prompt.intent, prompt.language) for prompt in prompts)
    assert len(cells) == 42
    assert min(cells.values()) >= 20
    assert {prompt.compare for prompt in prompts} <= COMPARISONS.keys()


def test_a_right_answer_of_ours_is_right_and_keeps_the_limits_of_its_prompt() -> None:
    for prompt in shipped_prompts():
        if prompt.right:
            assert COMPARISONS[prompt.compare](prompt.right.partition("|")[0], prompt.right) == 1.0
        if prompt.right and prompt.compare == "text":
            assert all(check.passes(prompt.right) for check in stated_checks(prompt.prompt)), prompt


def test_two_hundred_pairs_of_known_order_are_shipped_in_both_languages() -> None:
    pairs = known_pairs()

    assert len(pairs) == 200
    assert all(pair.better.strip() != pair.worse.strip() for pair in pairs)
    assert 60 < sum(pair.request.isascii() for pair in pairs) < 140


async def exam_of(say: Callable[[str], str]) -> JudgeExam:
    return await examine("big", SMALL, PairScorer(Saying(say), 1000, "big"), lambda: None)


def knows(text: str) -> str:
    """A judge that knows every better answer."""
    request = text.partition("=== request\n")[2].partition("\n=== answer A\n")[0]
    first = text.partition("=== answer A\n")[2].partition("\n=== answer B\n")[0]
    return "A" if any((pair.request, pair.better) == (request, first) for pair in known_pairs()) else "B"


@pytest.mark.parametrize(
    ("say", "right", "passes"),
    [
        (knows, 200, True),
        (lambda text: "A", 0, False),
        (lambda text: "TIE", 0, False),
        (lambda text: "B" if knows(text) == "A" else "A", 0, False),
        (lambda text: knows(text) if len(text) % 2 else "A", None, False),
    ],
)
async def test_a_judge_is_asked_in_both_orders_and_needs_three_of_four(
    say: Callable[[str], str], right: int | None, passes: bool
) -> None:
    exam = await exam_of(say)

    assert exam.passes is passes
    assert right is None or exam.right == right


def test_an_exam_is_kept_for_each_judge(tmp_path: Path) -> None:
    file = tmp_path / "judges.json"
    for exam in (JudgeExam("a", 149, 200), JudgeExam("b", 150, 200), JudgeExam("a", 160, 200)):
        keep_exam(file, exam)

    assert read_exam(file, "a") == JudgeExam("a", 160, 200)
    assert read_exam(file, "c") is None
    assert not JudgeExam("a", 149, 200).passes
    assert str(JudgeExam("a", 149, 200)) == "a put 149 of 200 pairs of known order right; 75% are needed"


async def test_what_was_scored_is_known_to_the_next_run_and_another_text_is_not(tmp_path: Path) -> None:
    file = tmp_path / "gains" / "scores.jsonl"
    scored = await PairScorer(Saying(lambda text: "Wide" if "brief" in text else "It is very wide and blue"), 9).score(
        CHECKED
    )
    ScoreLog(file).add(scored, "")
    with file.open("ab") as torn:
        torn.write(b'{"pair": "cut o')

    log = ScoreLog(file)

    assert log.known(CHECKED, "") == scored
    assert scored.difference == 1.0
    assert log.known(replace(CHECKED, rewritten=PAIR.raw), "") is None
    assert log.known(replace(CHECKED, right="wide"), "") is None
    assert log.known(replace(CHECKED, target=Target("local", "large")), "") is None


async def test_the_limit_of_tokens_ends_a_measurement_between_two_pairs() -> None:
    from gateway.prompt.measure.pairs import scores_of

    completer = Saying(lambda text: "Wide")

    scored = await scores_of([CHECKED] * 9, PairScorer(completer, 100, tokens=40), lambda _: None, [])

    assert (len(scored), completer.calls) == (2, 4)


def test_the_cost_is_told_with_the_price_of_the_model_and_the_exam_of_the_judge() -> None:
    prices = {"small": Price(prompt=1.0, completion=2.0)}

    plain = cost_of_pairs([CHECKED] * 10, prices)
    judged = cost_of_pairs([PAIR] * 10, {}, "big")

    assert (plain.calls, judged.calls) == (20, 20 + 20 + 400)
    assert 1000 < plain.tokens < 2000
    assert 0.002 < plain.money < 0.004
    assert cost_of_pairs([PAIR] * 10, {}, "big", JudgeExam("big", 180, 200)).calls == 40
    assert str(MeasureCost(1200, 34567, 0.5)) == "at most 1,200 calls and 34,567 tokens, 0.50 of money"


def library(*more: str) -> Library:
    texts = [
        template(f"# user\n{{{{ query }}}}\n\nBe brief.{text}", version=number) for number, text in enumerate(more, 1)
    ]
    return build_library(texts, [])


async def test_our_prompts_are_sent_raw_and_as_the_gateway_would_rewrite_them() -> None:
    (brief,) = library("").templates
    ours = [
        MeasuredPrompt("a", "en", "refund", ASK),
        MeasuredPrompt("b", "zh", "refund", "介绍大海"),
        MeasuredPrompt("c", "en", "summarise", ASK),
        MeasuredPrompt("d", "en", "refund", "What is one and one?", "2", "number"),
    ]

    def stage_for(policy: RewritePolicy) -> RewriteStage:
        return RewriteStage(PromptTable(), library(""), policy=policy)

    first, last = await pairs_of_prompts(stage_for, [brief], SMALL, ours)

    assert (first.id, last.id) == ("a", "d")
    assert (first.raw[0].text, first.rewritten[0].text) == (ASK, f"{ASK}\n\nBe brief.")
    assert (first.checks, last.right, last.compare) == (CHECKED.checks, "2", "number")
    assert first.key == (brief.text_digest, "en", "small")
    assert (first.template, first.sampling.temperature) == ("refund.en@1", 0.0)


def test_every_version_in_use_is_measured_and_can_be_named() -> None:
    both = library("", " Be very brief.")

    assert [one.ref for one in measurable(both, "refund.en@2")] == ["refund.en@2"]
    assert [one.ref for one in measurable(both)] == [one.ref for one in measurable(both, "refund.en")]
    assert list(measurable(both, "other.en")) == []


def test_what_is_not_proven_is_named_with_the_cost_of_measuring_it(tmp_path: Path) -> None:
    library_of_two = build_library(
        [
            template(id="summarise.en", intent="summarise"),
            template("# user\n{{ query }}\n\nShortly.", id="translate.en", intent="translate"),
        ],
        [],
    )
    proven = library_of_two.templates[0]
    row = Gain(proven.text_digest, "en", "small", 90, 0.3, -1.0, 1.0, p=0.0001, spread=0.4)
    write_gains(tmp_path / "gains.json", [row])
    policy = RewritePolicy({}, GainTable(tmp_path / "gains.json"))
    prices = {"small": Price(prompt=1.0, completion=2.0)}

    report = unproven(library_of_two, policy, ("small", "for-clients"), prices)

    assert report is not None
    assert (report.refs, report.templates, report.cost.calls) == (["translate.en@1"], 2, 40)
    assert report.cost.money > 0
    assert "foreword gains measure --missing --source prompts --model for-clients (at most 40 calls" in str(report)
    assert unproven(library_of_two, policy, ("small", "small"), {}, "summarise.en@1") is None

    lost = replace(row, text=library_of_two.templates[1].text_digest, gain=-0.3)
    write_gains(tmp_path / "gains.json", [row, lost])
    policy = RewritePolicy({}, GainTable(tmp_path / "gains.json"))
    again = unproven(library_of_two, policy, ("small", "for-clients"), prices)
    assert again is not None
    assert (again.refs, again.cost.calls) == (["translate.en@1"], 0)  # `--missing` does not measure it again


def test_the_models_to_measure_are_the_default_and_the_configured_ones() -> None:
    models = {"best": ModelTable("up", "gpt-4.1"), "same": ModelTable("up", "gpt-4.1"), "own": ModelTable("up")}
    settings = Settings(Path(), routing=Routing("best"), models=models)

    assert models_of(settings) == {"gpt-4.1": "best", "own": "own"}
