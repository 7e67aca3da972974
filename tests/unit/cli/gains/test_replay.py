"""Replaying recorded exchanges: which are chosen, how the two answers are judged, and what a run may cost."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.ask import Turn
from gateway.cli.gains.replay import Replay, ReplayCase, ReplayFilter, ScoredCase, cases_of, choose, gains_of, scores_of
from gateway.errors import BackendFailed
from gateway.exchange import Arm, Call, Chunk, Exchange, Intent, Rewrite, Sampling, Target
from gateway.ports import Answer, Completed
from gateway.prompt.library.library import Library, build_library
from gateway.prompt.templates.fields import Check
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
    asked=RAW,
    route=(SMALL,),
    intent=Intent("refund", 0.9),
    rewrite=Rewrite("refund.en", 1, arm=Arm.HELD, withheld=REWRITTEN),
)
CASE = ReplayCase("ex", ("refund", "small"), SMALL, RAW, REWRITTEN, Sampling(16, 0.0))


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


def cases(database: Database, which: ReplayFilter, found: Library | None = None) -> list[ReplayCase]:
    return list(cases_of(database, choose(database, which, Random(1)), found or library(), Random(1)))


def test_controls_shadows_and_rewritten_exchanges_can_all_be_replayed(database: Database) -> None:
    database.insert(
        [
            RECORD,
            replace(RECORD, id="shadow", rewrite=Rewrite("refund.en", 1, arm=Arm.SHADOW), prompt=REWRITTEN),
            replace(RECORD, id="spoken", rewrite=Rewrite("refund.en", 1), prompt=REWRITTEN, changed=True),
        ]
    )

    found = cases(database, ReplayFilter())

    assert {case.id for case in found} == {"ex", "shadow", "spoken"}
    assert {(case.raw, case.rewritten, case.group) for case in found} == {(RAW, REWRITTEN, ("refund", "small"))}


@pytest.mark.parametrize(
    "unfit",
    [
        replace(RECORD, policy="hashed"),
        replace(RECORD, status=500),
        replace(RECORD, intent=Intent.UNKNOWN),
        replace(RECORD, route=()),
        replace(RECORD, rewrite=Rewrite("refund.en", 9, arm=Arm.HELD, withheld=REWRITTEN)),
        replace(RECORD, chunks=(Chunk("c", "book", "b.md", "text"),)),
        replace(RECORD, asked=(Turn("user", "", 0, plain=False),)),
    ],
)
def test_what_would_not_be_a_fair_pair_is_left_out(database: Database, unfit: ExchangeRecord) -> None:
    database.insert([unfit])

    assert cases(database, ReplayFilter()) == []


def test_a_sample_of_each_intent_and_model_is_taken(database: Database) -> None:
    other = replace(RECORD, intent=Intent("other", 0.9))
    database.insert([replace(RECORD, id=f"a-{number}") for number in range(30)])
    database.insert([replace(other, id=f"b-{number}") for number in range(3)])

    found = choose(database, ReplayFilter(each=5), Random(1))

    assert {group: len(ids) for group, ids in found.items()} == {("refund", "small"): 5, ("other", "small"): 3}
    assert set(choose(database, ReplayFilter(intent="other"), Random(1))) == {("other", "small")}
    assert choose(database, ReplayFilter(model="large"), Random(1)) == {}


def test_the_last_corrected_answer_is_what_was_wanted(database: Database) -> None:
    database.insert([RECORD])
    for answer in ("first", "", "last"):
        database.add_feedback(Feedback("ex", 0.0, answer=answer))

    assert [case.right for case in cases(database, ReplayFilter())] == ["last"]


async def test_what_was_wanted_goes_before_checks_and_checks_before_a_judge() -> None:
    checks = (Check(max_words=2),)
    completer = Answering(by_form)
    replay = Replay(completer, 100, judge="big")

    right = await replay.score(replace(CASE, right="yes", checks=checks))
    checked = await replay.score(replace(CASE, checks=checks))

    assert [(one.by, one.difference) for one in (right, checked)] == [("feedback", 1.0), ("checks", 1.0)]
    assert "judge" not in completer.purposes
    assert set(completer.samplings) == {CASE.sampling}


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

    scored = await Replay(completer, 100, judge="big").score(CASE)

    assert (scored.by, scored.difference) == ("judge", difference)
    assert completer.purposes == ["raw", "rewritten", "judge", "judge"]


async def test_the_same_answer_twice_needs_no_judge() -> None:
    completer = Answering(lambda text: "Yes.")

    assert (await Replay(completer, 100, judge="big").score(CASE)).difference == 0.0
    assert completer.purposes == ["raw", "rewritten"]


@pytest.mark.parametrize(("judge", "calls", "pairs"), [("", 7, 3), ("big", 7, 1), ("", 1, 0)])
async def test_the_cap_is_kept_and_no_pair_is_left_half_asked(judge: str, calls: int, pairs: int) -> None:
    case = replace(CASE, right="" if judge else "yes")
    completer = Answering(by_form)

    found = await scores_of([case] * 9, Replay(completer, calls, judge), lambda: None, [])

    assert len(found) == pairs
    assert len(completer.purposes) <= calls


async def test_a_backend_that_fails_now_and_then_costs_only_its_pairs() -> None:
    answers = iter(["fail", "a", "yes", "fail", "b", "yes"])

    def answer(text: str) -> str:
        said = next(answers)
        if said == "fail":
            raise BackendFailed("it is down")
        return said

    failed: list[str] = []

    found = await scores_of([replace(CASE, right="yes")] * 4, Replay(Answering(answer), 100), lambda: None, failed)

    assert [one.difference for one in found] == [1.0, 1.0]
    assert failed == ["it is down", "it is down"]


async def test_a_backend_that_only_fails_is_given_up() -> None:
    def answer(text: str) -> str:
        raise BackendFailed("it is down")

    completer = Answering(answer)

    with pytest.raises(BackendFailed, match="it is down"):
        await scores_of([replace(CASE, right="yes")] * 50, Replay(completer, 100), lambda: None, [])
    assert len(completer.purposes) == 5


def test_each_intent_and_model_has_its_gain() -> None:
    other = replace(CASE, group=("other", "small"))
    found = (
        [ScoredCase(CASE, 1.0, "checks")] * 40
        + [ScoredCase(CASE, 0.0, "judge")] * 40
        + [ScoredCase(other, 0.0, "judge")] * 50
    )

    other_gain, gain = gains_of(found, 5.0)

    assert (gain.intent, gain.pairs, gain.gain, gain.by, gain.verdict) == ("refund", 80, 0.5, "checks, judge", "helps")
    assert (other_gain.intent, other_gain.gain, other_gain.verdict) == ("other", 0.0, "leave it")
