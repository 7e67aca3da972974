from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.ask import Ask, Controls, Endpoint, Mode, Turn
from gateway.context.fit import FitStage
from gateway.context.window import PROMPT_TOKENS, TURN_TOKENS, trim
from gateway.errors import ContextTooLong
from gateway.exchange import Chunk, ContextPlan, Exchange, Rewrite, Target


def words(backend: str, text: str) -> int:
    assert backend == "main"
    return len(text.split())


def refuse(backend: str, text: str) -> int:
    raise AssertionError("nothing needed to be counted")


def exchange(turns: Sequence[Turn], window: int, *, mode: Mode = Mode.ON, room: int = 0) -> Exchange:
    numbered = tuple(replace(turn, source=place) for place, turn in enumerate(turns))
    return Exchange(
        "x1",
        Ask(Endpoint.CHAT, "m", b"{}", numbered, room_tokens=room),
        mode=mode,
        route=(Target("main", "m", window),),
    )


def talk(*roles: str, length: int = 100) -> list[Turn]:
    """A turn of `length` words for each role."""
    return [Turn(role, f"{place} " + "word " * (length - 1)) for place, role in enumerate(roles)]


LONGER = Target("main", "m", 2000)
ELSEWHERE = Target("other", "m-32k", 0)


def with_longer(asked: Exchange, longer: Target, *fallback: Target) -> Exchange:
    return replace(asked, route=(replace(asked.route[0], longer=longer), *fallback))


LONG = ("system", "user", "assistant", "user", "assistant", "user")


async def test_a_prompt_whose_bytes_fit_goes_without_being_counted() -> None:
    fitted = await FitStage(refuse)(exchange([Turn("user", "hello")], 4096))

    assert (fitted.turns, fitted.plan.strategy, fitted.plan.window_tokens) == (None, "direct", 4096)
    assert [(note.stage, note.decision) for note in fitted.notes] == [("fit", "direct")]


async def test_an_unknown_window_is_nobody_to_judge_by() -> None:
    asked = exchange(talk(*LONG), 0)

    assert await FitStage(refuse)(asked) is asked


async def test_a_prompt_that_fits_when_counted_goes_as_it_is() -> None:
    fitted = await FitStage(words)(exchange(talk(*LONG), 1000))

    assert (fitted.turns, fitted.plan.prompt_tokens) == (None, PROMPT_TOKENS + 6 * (100 + TURN_TOKENS))


async def test_the_oldest_question_and_its_answer_are_left_out_first() -> None:
    asked = exchange(talk(*LONG), 700, room=100)

    fitted = await FitStage(words)(asked)

    assert fitted.turns == (asked.ask.turns[0], *asked.ask.turns[3:])
    said = "the 2 oldest turns left out"
    assert fitted.plan == ContextPlan("trimmed", 700, PROMPT_TOKENS + 4 * (100 + TURN_TOKENS), 2, said=said)
    assert fitted.notes[-1].decision == "trimmed"
    assert "2 oldest turns" in fitted.notes[-1].reason


async def test_the_system_message_and_the_last_user_message_are_never_left_out() -> None:
    asked = exchange([*talk(*LONG), Turn("assistant", "Sure, ")], 400, room=50)

    fitted = await FitStage(words)(asked)

    assert fitted.turns == (asked.ask.turns[0], *asked.ask.turns[5:])


async def test_a_last_message_that_is_too_long_is_refused_with_the_numbers() -> None:
    with pytest.raises(ContextTooLong) as refusal:
        await FitStage(words)(exchange(talk("user", length=500), 512, room=100))

    assert (refusal.value.prompt_tokens, refusal.value.window_tokens) == (500 + TURN_TOKENS + PROMPT_TOKENS, 512)
    assert "100 are reserved" in str(refusal.value)


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.SHADOW])
async def test_where_nothing_may_be_changed_a_long_prompt_passes_with_a_note(mode: Mode) -> None:
    fitted = await FitStage(words)(exchange(talk("user", length=500), 512, mode=mode))

    assert not fitted.changed
    assert mode.value in fitted.notes[-1].reason


async def test_in_shadow_mode_the_trimming_is_decided_and_not_done() -> None:
    fitted = await FitStage(words)(exchange(talk(*LONG), 500, mode=Mode.SHADOW))

    assert (fitted.plan.strategy, fitted.changed) == ("trimmed", False)


async def test_turns_with_images_or_tool_calls_are_not_trimmed_blindly() -> None:
    turns = [*talk(*LONG), Turn("user", "", plain=False)]

    fitted = await FitStage(refuse)(exchange(turns, 512))

    assert (fitted.turns, fitted.notes[-1].decision) == (None, "direct")
    assert "more than plain text" in fitted.notes[-1].reason


async def test_a_rewrite_that_does_not_fit_is_taken_back() -> None:
    asked = exchange([Turn("user", "word " * 100)], 512)
    rewritten = replace(
        asked,
        turns=tuple(talk("user", length=500)),
        rewrite=Rewrite("summarise", 1),
        chunks=(Chunk("c1", "handbook", "a.md", "text"),),
    )

    fitted = await FitStage(words)(rewritten)

    assert (fitted.turns, fitted.rewrite, fitted.chunks) == (None, Rewrite.NONE, ())
    assert "the client's own is sent" in fitted.notes[-1].reason
    assert len(fitted.notes) == 1


async def test_a_room_larger_than_the_window_does_not_forbid_a_short_prompt() -> None:
    fitted = await FitStage(refuse)(exchange([Turn("user", "hello")], 512, room=100_000))

    assert fitted.plan.strategy == "direct"


ROLES = st.sampled_from(["system", "user", "assistant"])


@given(st.lists(st.tuples(ROLES, st.integers(1, 300)), min_size=1, max_size=12), st.integers(0, 1500))
def test_trimming_keeps_to_the_budget_and_to_what_must_stay(turns: list[tuple[str, int]], budget: int) -> None:
    prompt = [Turn(role, f"t{place}") for place, (role, _) in enumerate(turns)]
    sizes = [size for _, size in turns]
    last = max((place for place, turn in enumerate(prompt) if turn.role == "user"), default=0)
    must_stay = {place for place, turn in enumerate(prompt) if turn.role == "system" or place >= last}

    places = trim(prompt, sizes, budget)

    if places is None:
        assert sum(sizes[place] for place in must_stay) > budget
        return
    assert sum(sizes[place] for place in places) <= budget
    assert must_stay <= set(places)
    assert list(places) == sorted(places)
    gone = set(range(len(prompt))) - set(places)
    assert all(place not in gone for place in must_stay)
    dropped_up_to = max(gone, default=-1)
    assert all(place in gone or place in must_stay for place in range(dropped_up_to))


@pytest.mark.parametrize("mode", list(Mode))
async def test_what_is_too_long_here_goes_whole_to_where_the_model_has_a_longer_window(mode: Mode) -> None:
    asked = with_longer(exchange(talk("user", length=500), 512, mode=mode), ELSEWHERE)

    fitted = await FitStage(words)(asked)

    assert (fitted.route, fitted.changed, fitted.plan.strategy) == ((ELSEWHERE,), False, "interpolated")
    assert fitted.plan.reach_tokens == 0
    assert "'m-32k' at 'other'" in fitted.notes[-1].reason


async def test_positions_are_set_for_the_prompt_and_its_answer() -> None:
    asked = with_longer(exchange(talk("user", length=500), 512, room=100), LONGER)

    fitted = await FitStage(words)(asked)

    tokens = PROMPT_TOKENS + TURN_TOKENS + 500
    assert fitted.plan == ContextPlan("interpolated", 2000, tokens, 0, reach_tokens=tokens + 100)


async def test_what_fits_stays_where_it_is_and_what_fits_nowhere_is_refused() -> None:
    short = with_longer(exchange(talk("user", length=100), 512), LONGER)
    assert (await FitStage(words)(short)).route == short.route
    with pytest.raises(ContextTooLong):
        await FitStage(words)(with_longer(exchange(talk("user", length=5000), 512), LONGER))


async def test_a_fallback_that_cannot_take_it_is_left_out() -> None:
    asked = with_longer(exchange(talk("user", length=500), 512), LONGER, Target("small", "s", 600), ELSEWHERE)
    assert (await FitStage(words)(asked)).route == (LONGER, ELSEWHERE)


async def test_a_tool_loop_is_judged_by_its_json() -> None:
    ask = Ask(Endpoint.CHAT, "m", b"word " * 900, (*talk(*LONG), Turn("tool", "", plain=False)))
    asked = with_longer(replace(exchange([], 512), ask=ask), LONGER)
    assert (await FitStage(words)(asked)).route == (LONGER,)
    brief = replace(asked, ask=replace(ask, raw=b"word"))
    assert (await FitStage(words)(brief)).route == asked.route


async def test_a_request_that_names_trimming_is_trimmed_although_there_is_a_longer_window() -> None:
    asked = with_longer(exchange(talk(*LONG), 500), LONGER)
    named = replace(asked, ask=replace(asked.ask, controls=Controls(strategy="trimmed")))
    assert (await FitStage(words)(named)).plan.strategy == "trimmed"
    assert (await FitStage(words)(asked)).plan.strategy == "interpolated"


async def test_what_an_engine_reads_well_is_for_the_prompt_alone() -> None:
    asked = with_longer(exchange(talk("user", length=450), 512, room=400), LONGER)
    assert (await FitStage(words)(asked)).plan.strategy == "direct"
    with pytest.raises(ContextTooLong):
        await FitStage(words)(exchange(talk("user", length=450), 512, room=400))
