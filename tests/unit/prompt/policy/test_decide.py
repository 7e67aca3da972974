"""How far a rewrite may go: the table of docs/policies.md, row by row."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.ask import Ask, Controls, Endpoint, Mode, Turn
from gateway.errors import TemplateError
from gateway.exchange import Arm, CanaryTrial, Exchange, Intent, Target
from gateway.prompt.library.library import OfferedVersions, build_library
from gateway.prompt.policy.arms import RewriteDecision
from gateway.prompt.policy.decide import RewritePolicy
from gateway.prompt.policy.gains import Gain, GainTable, write_gains
from gateway.prompt.policy.standings import (
    Standing,
    StandingState,
    StandingTable,
    standings_path,
    write_standing,
)
from gateway.prompt.rewrite import RewriteStage
from gateway.settings.prompt import PromptTable, TemplatePolicy
from tests.doubles.templates import template

STABLE = template("# user\n{{ query }}\n\nBe brief.", version=1)
ON_TRIAL = template("# user\n{{ query }}\n\nBe very brief.", version=2)
NOBODY, HALF = 0.0, 0.5
IN, OUT = (CanaryTrial("models.smol", 1.0),), (CanaryTrial("models.smol", NOBODY),)


def exchange(**fields: Any) -> Exchange:
    named = fields.pop("named", "")
    ask = Ask(Endpoint.CHAT, "smol", b"{}", (Turn("user", "hello", 0),), controls=Controls(template=named))
    target = Target("local", "smol")
    return replace(Exchange("x", ask, intent=Intent("refund", 0.9, 0.9, "en"), route=(target,)), **fields)


def measured(
    mean: float, model: str = "smol", *, pairs: int = 180, spread: float = 0.25, text: str = STABLE.text_digest
) -> Gain:
    return Gain(text, "en", model, pairs, mean, -1.0, 1.0, p=0.001, spread=spread)


def table(folder: Path, *rows: Gain) -> GainTable:
    write_gains(folder / "gains.json", rows)
    return GainTable(folder / "gains.json")


def own(mode: Mode | None = None, canary: float = 1.0) -> dict[str, TemplatePolicy]:
    return {STABLE.id: TemplatePolicy(mode, canary)}


@pytest.fixture
def no_gain(tmp_path: Path) -> GainTable:
    return table(tmp_path, measured(-0.02))


@pytest.mark.parametrize(
    ("before", "templates", "loss", "arm", "why"),
    [
        (exchange(), {}, False, Arm.STABLE, ""),
        (exchange(), own(Mode.OFF), False, Arm.NONE, '[templates."refund.en"] mode is off'),
        (exchange(named="refund.en"), own(Mode.OFF), False, Arm.NONE, '[templates."refund.en"] mode is off'),
        (exchange(mode=Mode.SHADOW), own(Mode.OFF), False, Arm.NONE, '[templates."refund.en"] mode is off'),
        (
            exchange(),
            {},
            True,
            Arm.NONE,
            "gain -0.02 [-0.06, 0.02] over 180 pairs: left as it is",
        ),
        (exchange(named="refund.en"), {}, True, Arm.STABLE, ""),
        (exchange(mode=Mode.SHADOW), {}, True, Arm.SHADOW, ""),
        (exchange(mode=Mode.SHADOW, trials=OUT), own(canary=NOBODY), False, Arm.SHADOW, ""),
        (exchange(), own(Mode.SHADOW), False, Arm.SHADOW, '[templates."refund.en"] mode is shadow'),
        (exchange(), own(Mode.SHADOW), True, Arm.SHADOW, '[templates."refund.en"] mode is shadow'),
        (exchange(trials=OUT), own(Mode.SHADOW), False, Arm.SHADOW, '[templates."refund.en"] mode is shadow'),
        (exchange(trials=OUT), {}, False, Arm.HELD, "outside the 0% of models.smol"),
        (exchange(trials=IN), {}, False, Arm.STABLE, ""),
        (exchange(), own(canary=NOBODY), False, Arm.HELD, "outside the 0% of templates.refund.en"),
        (exchange(trials=(*IN, *OUT)), {}, False, Arm.HELD, "outside the 0% of models.smol"),
        (exchange(named="refund.en", trials=OUT), {}, False, Arm.HELD, "outside the 0% of models.smol"),
    ],
)
def test_the_order_of_what_decides(
    no_gain: GainTable, before: Exchange, templates: dict[str, TemplatePolicy], loss: bool, arm: Arm, why: str
) -> None:
    policy = RewritePolicy(templates, no_gain if loss else None)

    decision = policy.decide(before, OfferedVersions(STABLE))

    assert (decision.template, decision.arm, decision.why) == (STABLE, arm, why)


@pytest.mark.parametrize(
    ("share", "trials", "decision"),
    [
        (1.0, (), RewriteDecision(ON_TRIAL, Arm.CANARY, "among the 100% of the canary")),
        (NOBODY, (), RewriteDecision(STABLE, Arm.STABLE)),
        (1.0, OUT, RewriteDecision(ON_TRIAL, Arm.HELD, "outside the 0% of models.smol")),
    ],
)
def test_a_version_on_trial_speaks_to_its_share_and_has_its_own_controls(
    share: float, trials: tuple[CanaryTrial, ...], decision: RewriteDecision
) -> None:
    assert RewritePolicy().decide(exchange(trials=trials), OfferedVersions(STABLE, ON_TRIAL, share)) == decision


def test_a_first_version_on_trial_leaves_the_others_as_they_are() -> None:
    assert RewritePolicy().decide(exchange(), OfferedVersions(None, ON_TRIAL, NOBODY)) == RewriteDecision(
        None, Arm.NONE, "outside the 0% of the canary refund.en@2, and there is no other version"
    )


def test_a_user_keeps_the_version_on_trial_from_request_to_request() -> None:
    def arm(id: str, user: str) -> Arm:
        before = exchange()
        asks = replace(before, id=id, ask=replace(before.ask, user=user))
        return RewritePolicy().decide(asks, OfferedVersions(STABLE, ON_TRIAL, HALF)).arm

    users = [f"user-{number}" for number in range(40)]
    arms = [{arm(f"x-{number}", user) for number in range(5)} for user in users]

    assert all(len(found) == 1 for found in arms)
    assert set().union(*arms) == {Arm.STABLE, Arm.CANARY}


async def test_a_control_keeps_its_prompt_and_records_what_would_have_been_sent() -> None:
    stage = RewriteStage(PromptTable(), build_library([STABLE], []))

    done = await stage(exchange(trials=OUT))

    assert (done.turns, done.changed, done.sampling) == (None, False, exchange().sampling)
    assert done.rewrite.arm is Arm.HELD
    assert done.rewrite.withheld == (Turn("user", "hello\n\nBe brief.", around=0),)
    assert [(note.decision, note.reason) for note in done.notes] == [
        ("held", "refund.en@1: intent refund; outside the 0% of models.smol")
    ]


async def test_a_template_in_the_shadow_changes_nothing_while_others_speak() -> None:
    stage = RewriteStage(PromptTable(), build_library([STABLE], []), policy=RewritePolicy(own(Mode.SHADOW)))

    done = await stage(exchange())

    assert (done.changed, done.rewrite.arm) == (False, Arm.SHADOW)
    assert [note.decision for note in done.notes] == ["shadow"]


async def test_a_gain_that_was_measured_stands_on_the_note(tmp_path: Path) -> None:
    policy = RewritePolicy({}, table(tmp_path, measured(0.3, pairs=90, spread=0.48)))
    stage = RewriteStage(PromptTable(), build_library([STABLE], []), policy=policy)

    done = await stage(exchange())

    assert done.notes[-1].reason == "refund.en@1: intent refund; gain 0.30 [0.20, 0.40] over 90 pairs"


def test_a_table_for_a_template_that_is_not_there_is_told() -> None:
    policy = RewritePolicy({"refund.en": TemplatePolicy(), "refnud.en": TemplatePolicy(Mode.OFF)})

    assert policy.unknown_templates({"refund.en"}) == ['[templates."refnud.en"] names a template that does not exist']


async def test_what_the_gain_table_says_is_the_reason_on_the_note(no_gain: GainTable) -> None:
    stage = RewriteStage(PromptTable(), build_library([STABLE], []), policy=RewritePolicy({}, no_gain))

    done = await stage(exchange())

    assert [(note.decision, note.reason) for note in done.notes] == [
        ("kept", "gain -0.02 [-0.06, 0.02] over 180 pairs: left as it is")
    ]


PROVEN = exchange(mode=Mode.PROVEN)
UNPROVEN = "not proven for model smol: foreword gains measure"
HELPS, LOSS = measured(0.3), measured(-0.3)


@pytest.mark.parametrize(
    ("before", "templates", "rows", "arm", "why"),
    [
        (PROVEN, {}, [], Arm.SHADOW, UNPROVEN),
        (PROVEN, {}, [HELPS], Arm.STABLE, "gain 0.30 [0.26, 0.34] over 180 pairs"),
        (PROVEN, {}, [LOSS], Arm.SHADOW, "not proven for model smol: gain -0.30 [-0.34, -0.26] over 180 pairs"),
        (PROVEN, {}, [measured(0.3, "large")], Arm.SHADOW, UNPROVEN),
        (PROVEN, {}, [measured(0.3, text="another text")], Arm.SHADOW, UNPROVEN),
        (
            PROVEN,
            {},
            [measured(0.3, pairs=5)],
            Arm.SHADOW,
            "not proven for model smol: gain 0.30 [-0.01, 0.61] over 5 pairs, which is too few: foreword gains measure",
        ),
        (exchange(mode=Mode.PROVEN, named="refund.en"), {}, [], Arm.STABLE, ""),
        (exchange(mode=Mode.PROVEN, named="refund.en"), {}, [LOSS], Arm.STABLE, ""),
        (PROVEN, own(Mode.ON), [], Arm.STABLE, ""),
        (PROVEN, own(Mode.ON), [LOSS], Arm.NONE, "gain -0.30 [-0.34, -0.26] over 180 pairs: left as it is"),
        (PROVEN, own(Mode.OFF), [HELPS], Arm.NONE, '[templates."refund.en"] mode is off'),
        (PROVEN, own(Mode.SHADOW), [HELPS], Arm.SHADOW, '[templates."refund.en"] mode is shadow'),
        (exchange(), own(Mode.PROVEN), [], Arm.SHADOW, UNPROVEN),
        (exchange(mode=Mode.SHADOW), own(Mode.ON), [HELPS], Arm.SHADOW, ""),
        (replace(PROVEN, trials=OUT), {}, [HELPS], Arm.HELD, "outside the 0% of models.smol"),
        (replace(PROVEN, trials=OUT), {}, [], Arm.SHADOW, UNPROVEN),
    ],
)
def test_in_the_mode_proven_a_template_that_nobody_named_needs_a_row_that_helps(
    tmp_path: Path, before: Exchange, templates: dict[str, TemplatePolicy], rows: list[Gain], arm: Arm, why: str
) -> None:
    decision = RewritePolicy(templates, table(tmp_path, *rows)).decide(before, OfferedVersions(STABLE))

    assert (decision.template, decision.arm, decision.why) == (STABLE, arm, why)


def test_a_version_on_trial_needs_no_row_for_its_share_and_the_rest_does() -> None:
    policy, all_of_it = RewritePolicy(), OfferedVersions(STABLE, ON_TRIAL, 1.0)

    assert policy.decide(PROVEN, all_of_it).arm is Arm.CANARY
    assert policy.decide(PROVEN, OfferedVersions(STABLE, ON_TRIAL, NOBODY)).arm is Arm.SHADOW


def test_losses_can_be_ignored_in_the_mode_on_and_not_in_the_mode_proven(no_gain: GainTable) -> None:
    policy = RewritePolicy({}, no_gain, heeds_losses=False)

    assert policy.decide(exchange(), OfferedVersions(STABLE)).arm is Arm.STABLE
    assert policy.decide(PROVEN, OfferedVersions(STABLE)).arm is Arm.SHADOW


def test_a_file_can_ask_for_a_row_in_the_mode_on_too_and_a_table_of_its_own_comes_first(tmp_path: Path) -> None:
    careful = template("# user\n{{ query }}\n\nBe brief.", more="mode: proven\n")
    assert (careful.content, careful.text_digest) == (STABLE.content, STABLE.text_digest)

    def decide(before: Exchange, own: Mode | None = None, *rows: Gain) -> tuple[Arm, str]:
        policy = RewritePolicy({careful.id: TemplatePolicy(own)}, table(tmp_path, *rows))
        decision = policy.decide(before, OfferedVersions(careful))
        return decision.arm, decision.why

    assert decide(exchange()) == (Arm.SHADOW, UNPROVEN)
    assert decide(exchange(), None, HELPS)[0] is Arm.STABLE
    assert decide(exchange(), Mode.ON)[0] is Arm.STABLE
    assert decide(exchange(named="refund.en"))[0] is Arm.STABLE


@pytest.mark.parametrize("mode", ["on", "shadow", "off", "always"])
def test_a_file_can_ask_for_no_other_mode(mode: str) -> None:
    with pytest.raises(TemplateError, match="the mode of a file is `proven`"):
        template(more=f"mode: {mode}\n")


def test_the_models_of_the_route_with_a_row_are_known_to_the_exchange(tmp_path: Path) -> None:
    routed = replace(PROVEN, route=(Target("local", "smol"), Target("other", "large"), Target("far", "huge")))
    policy = RewritePolicy({}, table(tmp_path, HELPS, measured(0.3, "huge")))

    decision = policy.decide(routed, OfferedVersions(STABLE))

    assert (decision.arm, decision.proven) == (Arm.STABLE, ("smol", "huge"))


def test_a_template_of_several_calls_needs_a_row_for_each_model_of_the_route(tmp_path: Path) -> None:
    voting = template("# user\n{{ query }}", more="samples: {n: 3}\n")
    policy = RewritePolicy({}, table(tmp_path, measured(0.3, text=voting.text_digest)))
    routed = replace(PROVEN, route=(Target("local", "smol"), Target("other", "large")))

    assert policy.decide(PROVEN, OfferedVersions(voting)).arm is Arm.STABLE
    decision = policy.decide(routed, OfferedVersions(voting))
    assert (decision.arm, decision.why) == (
        Arm.SHADOW,
        f"{UNPROVEN.replace('smol', 'large')}, the fallback, and the template makes several calls",
    )


async def test_a_template_without_proof_leaves_the_prompt_and_records_what_it_would_send() -> None:
    stage = RewriteStage(PromptTable(), build_library([STABLE], []))

    done = await stage(PROVEN)

    assert (done.turns, done.changed, done.rewrite.arm) == (None, False, Arm.SHADOW)
    assert done.rewrite.withheld == (Turn("user", "hello\n\nBe brief.", around=0),)
    assert [(note.decision, note.reason) for note in done.notes] == [
        ("shadow", f"refund.en@1: intent refund; {UNPROVEN}")
    ]


def standing(folder: Path, state: StandingState | None = None, controls: float = 0.3) -> StandingTable:
    if state is not None:
        write_standing(standings_path(folder), Standing(STABLE.id, STABLE.text_digest, state, "worse by 0.3"))
    return StandingTable(standings_path(folder), controls)


def share_held(policy: RewritePolicy, before: Exchange) -> float:
    """The share of 2,000 conversations that are controls. `before` is one request."""
    conversations = [replace(before, id=f"x-{number}") for number in range(2000)]
    arms = [policy.decide(conversation, OfferedVersions(STABLE)).arm for conversation in conversations]
    assert set(arms) <= {Arm.HELD, Arm.STABLE}
    return arms.count(Arm.HELD) / len(arms)


ASKS_ON = replace(exchange(), ask=replace(exchange().ask, controls=Controls(mode=Mode.ON)))


@pytest.mark.parametrize(
    ("state", "templates", "before", "share"),
    [
        (None, {}, exchange(), 0.3),
        (StandingState.TRIED, {}, exchange(), 0.3),
        (StandingState.SETTLED, {}, exchange(), 0.05),
        (None, own(canary=0.9), exchange(), 0.1),
        (StandingState.SETTLED, own(canary=1.0), exchange(), 0.0),
        (None, {}, exchange(named="refund.en"), 0.0),
        (None, {}, ASKS_ON, 0.0),
        (None, {}, exchange(dry=True), 0.0),
    ],
)
def test_a_template_of_the_classifiers_choice_has_controls_and_fewer_when_it_is_settled(
    tmp_path: Path,
    state: StandingState | None,
    templates: dict[str, TemplatePolicy],
    before: Exchange,
    share: float,
) -> None:
    policy = RewritePolicy(templates, standings=standing(tmp_path, state))

    assert share_held(policy, before) == pytest.approx(share, abs=0.03 if share else 0)


def test_a_decision_has_the_share_of_controls_with_which_it_was_made(tmp_path: Path) -> None:
    policy = RewritePolicy(standings=standing(tmp_path))
    assert {policy.decide(replace(exchange(), id=f"x-{n}"), OfferedVersions(STABLE)).controls for n in range(9)} == {
        0.3
    }
    assert RewritePolicy().decide(exchange(), OfferedVersions(STABLE)).controls == 0.0


def test_a_settled_template_moves_nobody_from_the_rewritten_to_the_controls(tmp_path: Path) -> None:
    def held() -> set[int]:
        policy = RewritePolicy(standings=standing(tmp_path))
        asks = [replace(exchange(), id=f"x-{number}") for number in range(500)]
        return {n for n, ask in enumerate(asks) if policy.decide(ask, OfferedVersions(STABLE)).arm is Arm.HELD}

    before = held()
    standing(tmp_path, StandingState.SETTLED)
    assert held() < before


def test_a_template_that_was_worse_than_its_controls_only_decides_unless_a_request_names_it(tmp_path: Path) -> None:
    policy = RewritePolicy(own(Mode.ON), standings=standing(tmp_path, StandingState.SHADOW))

    decision = policy.decide(exchange(), OfferedVersions(STABLE))

    assert decision.arm is Arm.SHADOW
    assert decision.why == "worse by 0.3; to use it again: foreword templates resume refund.en"
    assert policy.decide(ASKS_ON, OfferedVersions(STABLE)).arm is Arm.SHADOW
    assert policy.decide(exchange(named="refund.en"), OfferedVersions(STABLE)).arm is Arm.STABLE


def test_another_text_is_not_in_the_shadow(tmp_path: Path) -> None:
    policy = RewritePolicy(standings=standing(tmp_path, StandingState.SHADOW, controls=0.0))

    assert policy.decide(exchange(), OfferedVersions(ON_TRIAL)).arm is Arm.STABLE


async def test_the_record_has_the_share_of_controls(tmp_path: Path) -> None:
    policy = RewritePolicy(standings=standing(tmp_path))
    stage = RewriteStage(PromptTable(), build_library([STABLE], []), policy=policy)

    done = [await stage(replace(exchange(), id=f"x-{number}")) for number in range(20)]

    assert {one.rewrite.controls for one in done} == {0.3}
    assert {one.rewrite.arm for one in done} == {Arm.HELD, Arm.STABLE}
