"""Replaying recorded exchanges: which are chosen, how the two answers are judged, and what a run may cost."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.ask import Turn
from gateway.cli.gains.replay import ReplayFilter, choose, pairs_of
from gateway.errors import BackendFailed
from gateway.exchange import Arm, Call, Chunk, Exchange, Intent, Rewrite, Sampling, Target
from gateway.ports import Answer, Completed
from gateway.prompt.answers.stated_checks import stated_checks
from gateway.prompt.library.library import Library, build_library
from gateway.prompt.measure.pairs import AnswerPair, PairScorer, ScoredPair, gains_of, scores_of
from gateway.prompt.policy.gains import corrected, key_of
from gateway.prompt.refine import MeasuredRefiner
from gateway.records.database import Database
from gateway.records.feedback import Feedback
from gateway.records.schema import ExchangeRecord
from tests.doubles.templates import template

RAW, REWRITTEN = (Turn("user", "hello", 0),), (Turn("user", "hello\n\nBe brief."),)
SMALL = Target("local", "small")
RECORD = ExchangeRecord(
    "ex",
    time_s=100.0,
    ending="finished",
    status=200,
    turns=RAW,
    route=(SMALL,),
    intent=Intent("refund", 0.9),
    rewrite=Rewrite("refund.en", 1, arm=Arm.HELD, withheld=REWRITTEN),
)
PAIR = AnswerPair("ex", ("text", "en", "small"), SMALL, RAW, REWRITTEN, Sampling(16, 0.0))
TWO_WORDS = stated_checks("Answer in at most two words.")


class Answering:
    """A completer that answers as a function of the prompt and counts its calls."""

    def __init__(self, answer: Callable[[str], str]) -> None:
        self._answer = answer
        self.purposes: list[str] = []
        self.samplings: list[Sampling] = []

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
        self.purposes.append(purpose)
        self.samplings.append(sampling)
        return Completed(Answer(self._answer(turns[-1].text)), Call(purpose))


def by_form(text: str) -> str:
    """A short answer to the rewritten prompt, a long one to the raw."""
    return "Yes." if "brief" in text else "Yes, and there is more to say."


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(f"sqlite:///{tmp_path / 'records.db'}")
    yield database
    database.close()


def library(more: str = "") -> Library:
    return build_library([template("# user\n{{ query }}\n\nBe brief.", more=more)], [])


def pairs(database: Database, wanted: ReplayFilter, found: Library | None = None) -> list[AnswerPair]:
    return list(pairs_of(database, choose(database, wanted, Random(1)), found or library(), Random(1)))


def test_controls_shadows_and_rewritten_exchanges_can_all_be_replayed(database: Database) -> None:
    database.insert(
        [
            RECORD,
            replace(RECORD, id="shadow", rewrite=Rewrite("refund.en", 1, arm=Arm.SHADOW), prompt=REWRITTEN),
            replace(RECORD, id="spoken", rewrite=Rewrite("refund.en", 1), prompt=REWRITTEN, changed=True),
        ]
    )

    found = pairs(database, ReplayFilter())

    assert {case.id for case in found} == {"ex", "shadow", "spoken"}
    digest = library().templates[0].text_digest
    assert {(pair.raw, pair.rewritten, pair.key) for pair in found} == {(RAW, REWRITTEN, (digest, "en", "small"))}


@pytest.mark.parametrize(
    "unfit",
    [
        replace(RECORD, policy="hashed"),
        replace(RECORD, status=500),
        replace(RECORD, intent=Intent.UNKNOWN),
        replace(RECORD, route=()),
        replace(RECORD, rewrite=Rewrite("refund.en", 9, arm=Arm.HELD, withheld=REWRITTEN)),
        replace(RECORD, chunks=(Chunk("c", "book", "b.md", "text"),)),
        replace(RECORD, turns=(Turn("user", "", 0, plain=False),)),
    ],
)
def test_what_would_not_be_a_fair_pair_is_left_out(database: Database, unfit: ExchangeRecord) -> None:
    database.insert([unfit])

    assert pairs(database, ReplayFilter()) == []


def test_a_sample_of_each_version_and_model_is_taken(database: Database) -> None:
    other = replace(RECORD, rewrite=replace(RECORD.rewrite, version=2), intent=Intent("other", 0.9))
    database.insert([replace(RECORD, id=f"a-{number}") for number in range(30)])
    database.insert([replace(other, id=f"b-{number}") for number in range(3)])

    found = choose(database, ReplayFilter(each=5), Random(1))

    first, second = ("refund.en", 1, "small"), ("refund.en", 2, "small")
    assert {group: len(ids) for group, ids in found.items()} == {first: 5, second: 3}
    assert set(choose(database, ReplayFilter(intent="other"), Random(1))) == {second}
    assert set(choose(database, ReplayFilter(template="refund.en@1"), Random(1))) == {first}
    assert choose(database, ReplayFilter(model="large"), Random(1)) == {}


def test_the_last_corrected_answer_is_what_was_wanted(database: Database) -> None:
    database.insert([RECORD])
    for answer in ("first", "", "last"):
        database.add_feedback(Feedback("ex", 0.0, answer=answer))

    assert [pair.right for pair in pairs(database, ReplayFilter())] == ["last"]


async def test_the_right_answer_goes_before_the_clients_checks_and_these_before_a_judge() -> None:
    completer = Answering(by_form)
    scorer = PairScorer(completer, 100, judge="big")

    right = await scorer.score(replace(PAIR, right="yes", checks=TWO_WORDS))
    checked = await scorer.score(replace(PAIR, checks=TWO_WORDS))

    assert [(one.by, one.difference) for one in (right, checked)] == [("right answers", 1.0), ("client's checks", 1.0)]
    assert "judge" not in completer.purposes
    assert set(completer.samplings) == {PAIR.sampling}


async def test_the_checks_of_the_template_itself_score_nothing(database: Database) -> None:
    database.insert([RECORD])

    (pair,) = pairs(database, ReplayFilter(), library("checks: [{max_words: 2}]\n"))

    assert (pair.checks, pair.scored_by("")) == ((), "")


async def test_the_limits_in_the_clients_own_words_score_a_recorded_exchange(database: Database) -> None:
    database.insert([replace(RECORD, turns=(Turn("user", "Say hello in at most two words.", 0),))])

    (pair,) = pairs(database, ReplayFilter())

    assert (pair.checks, pair.scored_by("")) == (TWO_WORDS, "client's checks")


async def test_a_number_is_right_wherever_the_answer_ends_with_it() -> None:
    answers = {"hello": "12 of 30, so the answer is 18.", "hello\n\nBe brief.": "1,018"}
    numeric = replace(PAIR, right="18", compare="number")

    assert (await PairScorer(Answering(answers.__getitem__), 9).score(numeric)).difference == -1.0


async def test_reasoning_that_the_client_does_not_get_is_not_scored() -> None:
    answers = {"hello": "18", "hello\n\nBe brief.": "30 less 12 is 18\nAnswer: 18"}
    marked = replace(PAIR, right="18", marker="Answer:")

    assert (await PairScorer(Answering(answers.__getitem__), 9).score(marked)).difference == 0.0


@pytest.mark.parametrize(
    ("judge", "difference"),
    [
        (lambda text: "A" if "answer A\nYes.\n" in text else "B", 1.0),
        (lambda text: "B" if "answer A\nYes.\n" in text else "A", -1.0),
        (lambda text: "A", 0.0),
        (lambda text: "I cannot say.", 0.0),
    ],
)
async def test_a_judge_sees_the_answers_in_either_order(judge: Callable[[str], str], difference: float) -> None:
    completer = Answering(lambda text: judge(text) if "=== answer A" in text else by_form(text))

    scored = await PairScorer(completer, 100, judge="big").score(PAIR)

    assert (scored.by, scored.difference) == ("judge", difference)
    assert completer.purposes == ["raw", "rewritten", "judge", "judge"]


async def test_the_same_answer_twice_needs_no_judge() -> None:
    completer = Answering(lambda text: "Yes.")

    assert (await PairScorer(completer, 100, judge="big").score(PAIR)).difference == 0.0
    assert completer.purposes == ["raw", "rewritten"]


@pytest.mark.parametrize(("judge", "calls", "expected"), [("", 7, 3), ("big", 7, 1), ("", 1, 0)])
async def test_the_cap_is_kept_and_no_pair_is_left_half_asked(judge: str, calls: int, expected: int) -> None:
    pair = replace(PAIR, right="" if judge else "yes")
    completer = Answering(by_form)

    found = await scores_of([pair] * 9, PairScorer(completer, calls, judge), lambda _: None, [])

    assert len(found) == expected
    assert len(completer.purposes) <= calls


async def test_a_backend_that_fails_now_and_then_costs_only_its_pairs() -> None:
    answers = iter(["fail", "a", "yes", "fail", "b", "yes"])

    def answer(text: str) -> str:
        said = next(answers)
        if said == "fail":
            raise BackendFailed("it is down")
        return said

    failed: list[str] = []

    found = await scores_of(
        [replace(PAIR, right="yes")] * 4, PairScorer(Answering(answer), 100), lambda _: None, failed
    )

    assert [one.difference for one in found] == [1.0, 1.0]
    assert failed == ["it is down", "it is down"]


async def test_a_backend_that_only_fails_is_given_up() -> None:
    def answer(text: str) -> str:
        raise BackendFailed("it is down")

    completer = Answering(answer)

    with pytest.raises(BackendFailed, match="it is down"):
        await scores_of([replace(PAIR, right="yes")] * 50, PairScorer(completer, 100), lambda _: None, [])
    assert len(completer.purposes) == 5


def test_each_text_and_model_has_its_row() -> None:
    other = replace(PAIR, key=("other", "en", "small"))
    scored = (
        [ScoredPair(PAIR, 1.0, "right answers")] * 40
        + [ScoredPair(PAIR, 0.0, "judge")] * 40
        + [ScoredPair(other, 0.0, "judge")] * 50
    )

    rows = gains_of(scored, 5.0)

    other_gain, gain = corrected({key_of(row): row for row in rows}).values()
    assert (gain.text, gain.pairs, gain.gain, gain.by, gain.verdict) == (
        "text",
        80,
        0.5,
        "judge, right answers",
        "helps",
    )
    assert (other_gain.text, other_gain.gain, other_gain.verdict) == ("other", 0.0, "leave it")


def test_a_refined_prompt_counts_for_the_refiners_template_and_its_model(database: Database) -> None:
    refine = template("# user\n{{ query }}", id="refine.en", more="purpose: refine\n")
    rewrite = Rewrite("refine.en", 1, "refine")
    database.insert([replace(RECORD, rewrite=rewrite, prompt=REWRITTEN, changed=True)])
    chosen = choose(database, ReplayFilter(), Random(1))

    (pair,) = pairs_of(database, chosen, build_library([refine], []), Random(1), "small-refiner")

    assert pair.key == (MeasuredRefiner.of(refine, "small-refiner").text_digest, "en", "small")
    assert pair.key[0] != refine.text_digest
