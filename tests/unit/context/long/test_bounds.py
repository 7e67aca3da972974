"""Whatever the text, its language, the window and how much the model says: within the window, within the quote."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ask import Ask, Controls, Endpoint, Turn
from gateway.context.condense import CondenseStage
from gateway.context.long.read import LongReader
from gateway.context.window import ANSWER_TOKENS, PROMPT_TOKENS, TURN_TOKENS
from gateway.errors import BadRequest
from gateway.exchange import Call, Exchange, Sampling, Target
from gateway.ports import Answer, Completed
from gateway.settings.context import Context

TOKEN = re.compile(r"[A-Za-z0-9]+|[^\sA-Za-z0-9]")
ENGLISH = ("The keeper of tower {n} came late.", "In town {n} it rained, and nobody met him!", "Who knows {n}?")
CHINESE = ("第{n}座灯塔的看守人来晚了。", "第{n}个城市下雨了，没有人遇见他！")
TASKS = {ENGLISH: "Summarise the story.", CHINESE: "请总结这个故事。"}


def count(backend: str, text: str) -> int:
    """A Chinese character is a token."""
    return len(TOKEN.findall(text))


class Talkative:
    """A model that says as many words as it may at every step in `long`, and three at the others."""

    def __init__(self, window: int, long: Sequence[str]) -> None:
        self.window, self.long = window, long
        self.prompts: list[str] = []
        self.calls: list[Call] = []

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
        (turn,) = turns
        tokens = count("", turn.text) + TURN_TOKENS + PROMPT_TOKENS
        assert tokens + sampling.max_tokens <= self.window
        self.prompts.append(turn.text)
        said = "word " * (sampling.max_tokens - 1 if purpose in self.long else 3) + "."
        self.calls.append(Call(purpose, "up", "small", tokens, count("", said)))
        return Completed(Answer(said.strip()), self.calls[-1])


def condensed(model: Talkative, text: str, task: str, strategy: str, note_tokens: int) -> Exchange:
    ask = Ask(Endpoint.CHAT, "m", b"", (Turn("user", f"{text}\n\n{task}", 0),), controls=Controls(strategy=strategy))
    exchange = Exchange("x", ask, route=(Target("up", "small", model.window),))
    stage = CondenseStage(
        Context(note_tokens=note_tokens, most_calls=10_000, most_tokens=10_000_000), count, LongReader(model, 4)
    )
    return asyncio.run(stage(exchange))


@settings(max_examples=60)
@given(
    st.sampled_from([ENGLISH, CHINESE]),
    st.lists(st.integers(0, 2), min_size=20, max_size=250),
    st.integers(700, 3000),
    st.integers(16, 120),
    st.sampled_from(["tree", "map-reduce", "refine", "focus"]),
    st.sampled_from([(), ("map",), ("reduce",), ("map", "reduce", "refine")]),
)
def test_what_is_used_is_at_most_what_was_quoted_and_no_sentence_is_sent_twice(
    sentences: tuple[str, ...],
    drawn: list[int],
    window: int,
    note_tokens: int,
    strategy: str,
    long: tuple[str, ...],
) -> None:
    said = [sentences[kind % len(sentences)].format(n=f"{n}x") for n, kind in enumerate(drawn)]
    text = "\n\n".join("".join(f"{one} " for one in said[start : start + 5]) for start in range(0, len(said), 5))
    model = Talkative(window, long)
    try:
        done = condensed(model, text, TASKS[sentences], strategy, note_tokens)
    except BadRequest as refusal:
        assert "cannot be used" in refusal.message
        assert model.prompts == []
        return
    assert sum(TURN_TOKENS + count("", turn.text) for turn in done.prompt) + PROMPT_TOKENS <= window - min(
        ANSWER_TOKENS, window // 4
    )
    own = done.ask.turns[-1].text
    if strategy == "focus":
        assert [own[one.start : one.end] for one in done.chunks] == [one.text for one in done.chunks]
    else:
        quote = done.notes[-1].data["quote"]
        assert len(model.calls) <= quote["calls"]
        assert sum(call.prompt_tokens for call in model.calls) <= quote["tokens_in"]
        assert sum(call.completion_tokens for call in model.calls) <= quote["tokens_out"]
    sent = [done.prompt[-1].text] if strategy == "focus" else model.prompts
    times = [sum(prompt.count(one) for prompt in sent) for one in said]
    assert set(times) <= ({0, 1} if strategy == "focus" else {1})


def test_a_level_that_hardly_shrinks_is_the_last_and_every_level_is_kept() -> None:
    text = "\n\n".join(ENGLISH[0].format(n=n) for n in range(3000))
    model = Talkative(700, ("reduce",))
    done = condensed(model, text, TASKS[ENGLISH], "tree", 80)
    data = done.notes[-1].data
    levels = [(level["step"], len(level["results"])) for level in data["levels"]]
    assert [step for step, _ in levels] == ["map", "reduce"]
    assert data["stopped"]
    spans = [(one["start"], one["end"]) for one in data["levels"][0]["results"]]
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert done.ask.turns[-1].text[slice(*spans[3])].startswith("The keeper")


def test_notes_that_do_not_all_fit_are_fewer_and_not_cut_to_nothing() -> None:
    """Each is one sentence, longer than its share: some stay whole, from all over the text."""
    text = "\n\n".join(ENGLISH[0].format(n=n) for n in range(3000))
    done = condensed(Talkative(700, ("reduce",)), text, TASKS[ENGLISH], "tree", 80)
    last = done.notes[-1].data["levels"][-1]["results"]
    starts = [one.start for one in done.chunks]
    assert len(last) > len(starts) >= 2
    assert all(one.text == note["text"] for one in done.chunks for note in last if note["start"] == one.start)
    assert starts[0] == last[0]["start"]
    assert starts[-1] > len(text) // 3
