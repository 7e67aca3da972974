"""A promoted version of an application's own prompt: who gets it, what it may change, and when the request goes on as
it came."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.ask import Ask, ClientKey, Controls, Endpoint, Mode, Turn
from gateway.exchange import Arm, Exchange
from gateway.prompt.found.adopt import identity
from gateway.prompt.found.found_prompt import FoundPrompt, PromotedVersion, PromptState, PromptVersion
from gateway.prompt.found.frozen import WrongTemplate
from gateway.prompt.found.shape import OPEN, TextShape
from gateway.prompt.found.store import FoundFile, found_path
from gateway.prompt.found.table import FoundTable
from gateway.prompt.found.templates import exported, imported, write_template
from gateway.prompt.recognise import RecogniseStage
from gateway.prompt.swap import SwapStage, new_turns
from gateway.prompt.whole import WholeStage
from gateway.settings.prompt import PromptTable
from gateway.state.memory import MemoryState

SYSTEM = TextShape(("You sort tickets of ", ".\n"))
PROMPT = FoundPrompt(
    "p-1",
    "triage",
    "app",
    "chat/completions",
    (PromptVersion(1, SYSTEM, OPEN),),
    PromptState.ADOPTED,
    spoken=PromotedVersion(2, 1.0),
)
BEFORE = identity(PROMPT)
AFTER = imported(exported(BEFORE).replace(".\n{% endfrozen %}", ".\n{% endfrozen %}Only the label, please."), BEFORE)


class Gateway:
    """The stages recognise, swap and whole with a file of found prompts."""

    def __init__(self, folder: Path, prompt: FoundPrompt = PROMPT, matches: int = 0) -> None:
        write_template(folder, AFTER)
        self.found = FoundTable(found_path(folder))
        self.state = MemoryState()
        self.stages = (
            RecogniseStage(self.found),
            SwapStage(PromptTable(found_matches=matches), self.found, self.state),
            WholeStage(),
        )
        self.use(prompt)

    def use(self, prompt: FoundPrompt) -> None:
        self.found.use(FoundFile((prompt,)))

    async def __call__(self, *turns: Turn, mode: Mode = Mode.PROVEN, conversation: str = "") -> Exchange:
        ask = Ask(Endpoint.CHAT, "m", b"{}", turns, controls=Controls(conversation=conversation))
        exchange = Exchange("fw-1", ask, ClientKey("app"), mode=mode)
        for stage in self.stages:
            exchange = await stage(exchange)
        return exchange


def asked(ticket: str = "my card is gone", *later: Turn) -> tuple[Turn, ...]:
    return Turn("system", "You sort tickets of Acme.\n", 0), Turn("user", ticket, 1), *later


def talk(ticket: str = "my card is gone") -> tuple[Turn, ...]:
    return asked(ticket, Turn("assistant", "card", 2), Turn("user", "are you sure?", 3))


async def test_the_system_message_changes_and_the_rest_stays_as_it_came(tmp_path: Path) -> None:
    exchange = await Gateway(tmp_path)(*asked())
    system, user = exchange.sent
    assert system.text == "You sort tickets of Acme.\nOnly the label, please."
    assert (system.around, system.offset) == (0, 0)  # what the message had beside its text is kept
    assert user is exchange.ask.turns[1]
    assert (exchange.rewrite.template, exchange.rewrite.version) == ("found:triage", 2)
    assert exchange.rewrite.arm is Arm.STABLE
    assert exchange.changed


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.OFF])
async def test_nothing_is_sent_where_the_mode_forbids_it(tmp_path: Path, mode: Mode) -> None:
    exchange = await Gateway(tmp_path)(*asked(), mode=mode)
    assert exchange.recognised.id == "p-1"
    assert not exchange.changed or mode is Mode.OFF  # the pipeline skips the stage in the mode off
    assert exchange.sent == exchange.ask.turns or mode is Mode.OFF


async def test_a_promotion_moves_no_running_conversation(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, replace(PROMPT, spoken=None))
    assert not (await gateway(*asked())).changed
    gateway.use(PROMPT)
    exchange = await gateway(*talk())
    assert not exchange.changed
    assert exchange.rewrite.arm is Arm.NONE  # it is no control either: it was not drawn when it began


async def test_a_conversation_keeps_its_version_in_later_turns(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    assert (await gateway(*asked())).changed
    exchange = await gateway(*talk())
    assert exchange.sent[0].text.endswith("Only the label, please.")
    assert exchange.sent[1:] == exchange.ask.turns[1:]


async def test_a_take_back_ends_the_version_in_all_conversations(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    assert (await gateway(*asked())).changed
    gateway.use(replace(PROMPT, spoken=None))
    assert not (await gateway(*talk())).changed


async def test_nothing_changes_while_the_file_is_read_again(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    before = gateway.found.spoken
    write_template(tmp_path, replace(AFTER, version=3))
    gateway.use(replace(PROMPT, spoken=PromotedVersion(3, 1.0)))
    gateway.found.spoken = before
    assert not (await gateway(*asked())).changed


async def test_the_share_is_that_of_conversations(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, replace(PROMPT, spoken=PromotedVersion(2, 0.3)))
    arms = [(await gateway(*asked(f"ticket {n}"))).rewrite.arm for n in range(400)]
    assert 80 < arms.count(Arm.CANARY) < 160
    assert arms.count(Arm.CANARY) + arms.count(Arm.HELD) == 400
    again = [(await gateway(*asked(f"ticket {n}"))).rewrite.arm for n in range(400)]
    assert again == arms


async def test_a_version_waits_until_the_identity_has_matched_often_enough(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, matches=3)
    changed = [(await gateway(*asked(f"ticket {n}"))).changed for n in range(5)]
    assert changed == [False, False, False, True, True]


async def test_workers_count_matches_together(tmp_path: Path) -> None:
    one, two = Gateway(tmp_path, matches=4), Gateway(tmp_path, matches=4)
    two.stages = (two.stages[0], SwapStage(PromptTable(found_matches=4), two.found, one.state), two.stages[2])
    workers = [one, two, one, two, one, two]
    changed = [(await worker(*asked(f"ticket {n}"))).changed for n, worker in enumerate(workers)]
    assert changed == [False] * 4 + [True] * 2


async def test_a_text_that_can_be_read_in_several_ways_goes_on_as_it_came(tmp_path: Path) -> None:
    shape = TextShape(("Text: ", "\nQuestion: ", ""))
    prompt = replace(PROMPT, versions=(PromptVersion(1, None, shape),))
    gateway = Gateway(tmp_path, prompt)
    gateway.found.spoken["p-1"] = replace(identity(prompt), version=2)
    exchange = await gateway(Turn("user", "Text: a\nQuestion: b\nQuestion: c", 0))
    assert not exchange.changed
    assert "several ways" in exchange.notes[-1].reason


async def test_another_deployed_version_goes_on_as_it_came(tmp_path: Path) -> None:
    changed = TextShape(("You sort all tickets of ", ".\n"))
    prompt = PROMPT.with_version(PromptVersion(2, changed, OPEN))
    exchange = await Gateway(tmp_path, prompt)(
        Turn("system", "You sort all tickets of Acme.\n", 0), Turn("user", "x", 1)
    )
    assert not exchange.changed
    assert "the application's prompt is version 2" in exchange.notes[-1].reason


async def test_a_missing_template_is_reported_and_changes_nothing(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, replace(PROMPT, spoken=PromotedVersion(7)))
    assert not (await gateway(*asked())).changed
    assert "7.json cannot be read" in gateway.found.problem


def test_tool_calls_and_results_stay_where_they_are() -> None:
    own = asked("t", Turn("assistant", "", 2, plain=False), Turn("tool", "42", 3))
    turns = new_turns(own, AFTER, {"part1": "Acme", "part2": "t"})
    assert turns[1:] == own[1:]


def test_worked_examples_stand_before_the_history() -> None:
    text = exported(BEFORE).replace("# history", "# user\n\nmy loan\n\n# assistant\n\nloan\n\n# history")
    turns = new_turns(talk(), imported(text, BEFORE), {"part1": "Acme", "part2": "are you sure?"})
    assert [turn.role for turn in turns] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert [turn.text for turn in turns[1:3]] == ["my loan", "loan"]
    assert turns[3:] == talk()[1:]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("You sort tickets", "You sort all tickets", "a frozen text was changed"),
        ("{{ part1 }}", "Acme", "its slots must be those of version 1"),
        ("{{ part1 }}", "{{ part1 }} {{ part1 }}", "its slots must be those of version 1"),
        ("# history", "# nothing", "it needs the sections"),
    ],
)
def test_an_edited_file_that_takes_something_away_is_refused(old: str, new: str, why: str) -> None:
    with pytest.raises(WrongTemplate, match=why):
        imported(exported(BEFORE).replace(old, new), BEFORE)


def test_an_owner_may_unlock_frozen_text() -> None:
    text = exported(BEFORE).replace("{% frozen %}You sort tickets of {% endfrozen %}", "Sort the tickets of ")
    version = imported(text, BEFORE, unlocked=True)
    assert version.render({"part1": "Acme", "part2": "x"})[0] == ("system", "Sort the tickets of Acme.\n")


def test_an_export_that_nobody_edited_is_the_same_template() -> None:
    shape = TextShape(("# user\n\nnot a heading\n", "\n# history\n", "  "))
    prompt = replace(PROMPT, versions=(PromptVersion(1, SYSTEM, shape),))
    again = imported(exported(identity(prompt)), identity(prompt))
    assert again.messages == identity(prompt).messages
