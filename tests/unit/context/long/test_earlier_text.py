"""A task in the last message can refer to a long text that the client sent in an earlier turn."""

import pytest
from msgspec.structs import replace

from gateway.ask import Ask, Controls, Endpoint, Mode, Turn
from gateway.context.condense import CondenseStage
from gateway.context.long.read import LongReader
from gateway.errors import ContextTooLong
from gateway.exchange import Exchange, Target
from gateway.settings.context import Context
from tests.doubles.completer import ScriptedCompleter

WINDOW = 1200
STORY = "\n\n".join(
    " ".join(f"The keeper of lighthouse {n} is called Person{n}." for n in range(start, start + 8))
    for start in range(0, 400, 8)
)


def count(backend: str, text: str) -> int:
    return len(text.split())


def talk(*said: str, longer: Target | None = None) -> Exchange:
    roles = ["user" if place % 2 == 0 else "assistant" for place in range(len(said))]
    turns = tuple(Turn(role, text, place) for place, (role, text) in enumerate(zip(roles, said, strict=True)))
    ask = Ask(Endpoint.CHAT, "small", b"{}", turns, controls=Controls())
    return Exchange("ex-1", ask, mode=Mode.ON, route=(Target("up", "small", WINDOW, longer=longer),))


def stage(reader: ScriptedCompleter | None = None) -> CondenseStage:
    return CondenseStage(Context(), count, LongReader(reader, 4) if reader else None)


@pytest.mark.parametrize(
    ("task", "strategy"),
    [
        ("Now translate the text above into French.", "piecewise"),
        ("List every keeper that is named in the text.", "gather"),
        ("Summarise the story that I sent you.", "tree"),
        ("Who is the keeper of lighthouse 217?", "focus"),
        ("请把上面的文章翻译成中文。", "piecewise"),
    ],
)
@pytest.mark.parametrize("first", [STORY, f"Here is a story:\n\n{STORY}", f"Summarise this story.\n\n{STORY}"])
async def test_a_task_is_done_on_the_text_of_an_earlier_turn(task: str, strategy: str, first: str) -> None:
    done = await stage(ScriptedCompleter("Person7"))(talk(first, "I have read it.", task))
    assert done.plan.strategy == strategy
    assert task in done.prompt[-1].text
    assert sum(count("", turn.text) for turn in done.prompt) <= WINDOW
    assert [turn.role for turn in done.prompt] == ["user", "assistant", "user"]


async def test_passages_are_cited_by_their_place_in_the_turn_that_has_the_text() -> None:
    first = f"Summarise this story.\n\n{STORY}"
    done = await stage()(talk(first, "It is about keepers.", "Who is the keeper of lighthouse 217?"))
    assert "Person217" in done.prompt[-1].text
    assert all(first[chunk.start : chunk.end] == chunk.text for chunk in done.chunks)


async def test_the_pieces_are_those_of_the_earlier_text_and_the_other_turns_stay() -> None:
    done = await stage(ScriptedCompleter("x"))(
        talk(STORY, "I have read it.", "Now translate the text above into French.")
    )
    assert done.pieces is not None
    joined = "".join(f"{piece.text}{piece.gap}" for piece in done.pieces.pieces)
    assert [word for word in joined.split() if word.startswith("Person")] == [f"Person{n}." for n in range(400)]
    assert done.prompt[1].text == "I have read it."


async def test_a_longer_window_gets_the_turns_as_they_were_sent() -> None:
    exchange = talk(STORY, "I have read it.", "Now translate the text above into French.")
    (target,) = exchange.route
    exchange = replace(exchange, route=(replace(target, longer=Target("scaled", "small", 20_000)),))
    done = await stage(ScriptedCompleter("x"))(exchange)
    assert (done.plan.strategy, done.route[0].backend) == ("interpolated", "scaled")
    assert done.prompt == exchange.prompt


async def test_without_a_strategy_the_text_is_not_dropped_in_silence() -> None:
    with pytest.raises(ContextTooLong):
        await stage()(talk(STORY, "I have read it.", "Now translate the text above into French."))


@pytest.mark.parametrize("last", ["Thanks a lot!", "谢谢！"])
async def test_what_asks_for_nothing_leaves_the_conversation_a_conversation(last: str) -> None:
    done = await stage(ScriptedCompleter("x"))(talk(STORY, "I have read it.", last))
    assert done.plan.strategy == "talk"


async def test_many_turns_that_fill_the_window_together_are_summed_up_as_before() -> None:
    said = [text for n in range(20) for text in (f"{STORY[n * 600 : n * 600 + 590]}", "I see.")]
    done = await stage(ScriptedCompleter("x"))(talk(*said, "Now translate the text above into French."))
    assert done.plan.strategy == "talk"
