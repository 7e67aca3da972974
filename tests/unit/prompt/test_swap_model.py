"""A version that another model answers, and a trial on top of a version that everybody gets."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.ask import Ask, ClientKey, Controls, Endpoint, Mode, Turn
from gateway.errors import KeyNotAllowed
from gateway.exchange import Arm, Exchange, Target
from gateway.perform.unchanged import may_go_unchanged, unchanged
from gateway.prompt.found.adopt import identity
from gateway.prompt.found.found_prompt import FoundPrompt, PromotedVersion, promoted
from gateway.prompt.found.store import FoundFile, found_path
from gateway.prompt.found.table import FoundTable
from gateway.prompt.found.templates import write_template
from gateway.prompt.recognise import RecogniseStage
from gateway.prompt.swap import SwapStage
from gateway.settings.prompt import PromptTable
from gateway.state.memory import MemoryState
from tests.unit.prompt.test_swap import AFTER, PROMPT, asked, talk

OWN = (Target("openai", "m"),)
OTHER = (Target("local", "big"),)
MOVED = replace(identity(PROMPT), version=3, model="big")


class Gateway:
    """The stages recognise and swap, where `big` is another model."""

    def __init__(self, folder: Path, spoken: PromotedVersion) -> None:
        write_template(folder, AFTER)
        write_template(folder, MOVED)
        self.found = FoundTable(found_path(folder))
        self.stages = (
            RecogniseStage(self.found),
            SwapStage(PromptTable(found_matches=0), self.found, MemoryState(), None, self.reroute),
        )
        self.use(replace(PROMPT, spoken=spoken))

    def use(self, prompt: FoundPrompt) -> None:
        self.found.use(FoundFile((prompt,)))

    @staticmethod
    def reroute(exchange: Exchange, model: str) -> tuple[Target, ...]:
        if exchange.key.models:
            raise KeyNotAllowed(f"This key may not use the model {model!r}.")
        return OTHER

    async def __call__(self, *turns: Turn, conversation: str = "", models: tuple[str, ...] = ()) -> Exchange:
        ask = Ask(Endpoint.CHAT, "m", b"{}", turns, controls=Controls(conversation=conversation))
        exchange = Exchange("fw-1", ask, ClientKey("app", models=models), mode=Mode.ON, route=OWN)
        for stage in self.stages:
            exchange = await stage(exchange)
        return exchange


async def test_the_other_model_answers_the_same_text_and_the_clients_model_stands_behind_it(tmp_path: Path) -> None:
    exchange = await Gateway(tmp_path, PromotedVersion(3, 1.0))(*asked())
    assert exchange.route == (*OTHER, *OWN)
    assert exchange.sent == exchange.ask.turns
    assert (exchange.rewrite.version, exchange.rewrite.arm) == (3, Arm.STABLE)
    assert "big" in exchange.notes[-1].reason


async def test_a_key_that_may_not_use_the_other_model_keeps_its_own(tmp_path: Path) -> None:
    exchange = await Gateway(tmp_path, PromotedVersion(3, 1.0))(*asked(), models=("m",))
    assert exchange.route == OWN
    assert not exchange.changed
    assert "may not use" in exchange.notes[-1].reason


async def test_a_request_that_the_other_model_refuses_goes_to_the_clients_own(tmp_path: Path) -> None:
    exchange = await Gateway(tmp_path, PromotedVersion(3, 1.0))(*asked())
    assert may_go_unchanged(exchange)
    own = unchanged(exchange, 400, "unsupported", "local", "big")
    assert own.route == OWN
    assert own.sent == own.ask.turns


async def test_other_conversations_get_the_version_beneath_as_controls(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, PromotedVersion(3, 0.5, beneath=2))
    seen = [await gateway(*asked(f"ticket {n}")) for n in range(60)]
    arms = {arm: [one for one in seen if one.rewrite.arm is arm] for arm in (Arm.CANARY, Arm.HELD)}
    assert len(arms[Arm.CANARY]) + len(arms[Arm.HELD]) == 60
    assert min(map(len, arms.values())) > 10
    assert {one.route for one in arms[Arm.CANARY]} == {(*OTHER, *OWN)}
    for one in arms[Arm.HELD]:
        assert one.route == OWN
        assert one.sent[0].text.endswith("Only the label, please.")
        assert one.rewrite.version == 3


@pytest.mark.parametrize("arm", [Arm.CANARY, Arm.HELD])
async def test_a_conversation_stays_on_its_side_while_the_share_grows(tmp_path: Path, arm: Arm) -> None:
    gateway = Gateway(tmp_path, PromotedVersion(3, 0.5, beneath=2))
    arms = {text: (await gateway(*asked(text))).rewrite.arm for text in (f"ticket {n}" for n in range(60))}
    ticket = next(text for text, drawn in arms.items() if drawn is arm)
    for share in (0.5, 0.99):
        gateway.use(replace(PROMPT, spoken=PromotedVersion(3, share, beneath=2)))
        assert (await gateway(*talk(ticket))).rewrite.arm is arm


async def test_a_conversation_from_before_the_trial_keeps_the_version_with_which_it_began(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, PromotedVersion(2, 1.0))
    assert (await gateway(*asked())).changed
    gateway.use(replace(PROMPT, spoken=PromotedVersion(3, 0.99, beneath=2)))
    exchange = await gateway(*talk())
    assert (exchange.rewrite.version, exchange.rewrite.arm, exchange.route) == (2, Arm.STABLE, OWN)


async def test_a_version_beneath_that_lost_fixed_text_is_not_sent(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, PromotedVersion(3, 0.5, beneath=2))
    spoilt = tuple(part if part.slot else replace(part, text="other") for part in AFTER.messages[0].parts)
    write_template(tmp_path, replace(AFTER, messages=(replace(AFTER.messages[0], parts=spoilt), *AFTER.messages[1:])))
    gateway.use(replace(PROMPT, spoken=PromotedVersion(3, 0.5, beneath=2)))
    assert "frozen text" in gateway.found.problem
    seen = [await gateway(*asked(f"ticket {n}")) for n in range(20)]
    assert not any("other" in one.sent[0].text for one in seen)


@pytest.mark.parametrize(
    ("before", "share", "beneath"),
    [
        (None, 0.1, 0),
        (PromotedVersion(2, 1.0), 0.1, 2),
        (PromotedVersion(2, 1.0), 1.0, 0),
        (PromotedVersion(2, 0.1), 0.2, 0),
        (PromotedVersion(2, 0.1, beneath=1), 0.2, 1),
        (PromotedVersion(3, 1.0), 0.2, 0),
    ],
)
def test_a_promotion_leaves_the_others_what_everybody_has(
    before: PromotedVersion | None, share: float, beneath: int
) -> None:
    assert promoted(replace(PROMPT, spoken=before), 3, share, 7.0) == PromotedVersion(3, share, 7.0, beneath=beneath)
