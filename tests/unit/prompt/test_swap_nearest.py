"""A version with nearest examples: each request gets those most like it, and goes on as it came where that fails."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.ask import Ask, ClientKey, Endpoint, Mode, Turn
from gateway.context.embedding.batcher import Batcher
from gateway.exchange import Exchange
from gateway.ports import Vectors
from gateway.prompt.found.adopt import NEAREST, ExampleRow, FoundTemplate, NearestExamples, TemplateMessage, identity
from gateway.prompt.found.found_prompt import FoundPrompt, PromotedVersion, PromptState, PromptVersion
from gateway.prompt.found.frozen import WrongTemplate, refuse_changes
from gateway.prompt.found.shape import TextShape
from gateway.prompt.found.store import FoundFile, found_path
from gateway.prompt.found.table import FoundTable
from gateway.prompt.found.templates import exported, imported, write_template
from gateway.prompt.recognise import RecogniseStage
from gateway.prompt.swap import SwapStage
from gateway.settings.prompt import PromptTable
from gateway.state.memory import MemoryState
from tests.doubles.bag_embedder import BagEmbedder

SYSTEM = TextShape(("You sort tickets.",))
PROMPT = FoundPrompt(
    "p-1",
    "triage",
    "app",
    "chat/completions",
    (PromptVersion(1, SYSTEM, TextShape(("Ticket: ", "\nLabel:"))),),
    PromptState.ADOPTED,
    spoken=PromotedVersion(2, 1.0),
)
IDENTITY = identity(PROMPT)
ROWS = (
    ExampleRow(("my card was stolen",), "card"),
    ExampleRow(("the rate of my loan",), "loan"),
    ExampleRow(("a transfer to Japan",), "transfer"),
)
WITH_EXAMPLES = replace(
    IDENTITY,
    version=2,
    messages=(*IDENTITY.messages[:-1], TemplateMessage(NEAREST), IDENTITY.messages[-1]),
    nearest=NearestExamples("part1", 2, ROWS),
)


def asked(ticket: str) -> tuple[Turn, ...]:
    return Turn("system", "You sort tickets.", 0), Turn("user", f"Ticket: {ticket}\nLabel:", 1)


async def answered(folder: Path, turns: Sequence[Turn], batcher: Batcher | None, budget_ms: int = 5000) -> Exchange:
    found = FoundTable(found_path(folder), batcher)
    found.use(FoundFile((PROMPT,)))
    found.pools.refresh(found.spoken.values())
    settings = PromptTable(found_matches=0, budget_ms=budget_ms)
    stages = RecogniseStage(found), SwapStage(settings, found, MemoryState(), batcher.embed if batcher else None)
    ask = Ask(Endpoint.CHAT, "m", b"{}", tuple(turns))
    exchange = Exchange("fw-1", ask, ClientKey("app"), mode=Mode.ON)
    for stage in stages:
        exchange = await stage(exchange)
    return exchange


def texts(exchange: Exchange) -> list[tuple[str, str]]:
    return [(turn.role, turn.text) for turn in exchange.sent]


async def test_each_request_gets_its_nearest_examples_the_nearest_last(tmp_path: Path) -> None:
    write_template(tmp_path, WITH_EXAMPLES)
    batcher = Batcher(BagEmbedder())
    exchange = await answered(tmp_path, asked("the rate of a transfer, my transfer to Japan"), batcher)
    assert texts(exchange) == [
        ("system", "You sort tickets."),
        ("user", "Ticket: the rate of my loan\nLabel:"),
        ("assistant", "loan"),
        ("user", "Ticket: a transfer to Japan\nLabel:"),
        ("assistant", "transfer"),
        ("user", "Ticket: the rate of a transfer, my transfer to Japan\nLabel:"),
    ]
    await batcher.aclose()


async def test_examples_stand_behind_the_conversation_which_a_provider_may_have_cached(tmp_path: Path) -> None:
    write_template(tmp_path, replace(WITH_EXAMPLES, nearest=NearestExamples("part1", 1, ROWS)))
    batcher = Batcher(BagEmbedder())
    found = FoundTable(found_path(tmp_path), batcher)
    found.use(FoundFile((PROMPT,)))
    found.pools.refresh(found.spoken.values())
    stage = SwapStage(PromptTable(found_matches=0), found, MemoryState(), batcher.embed)
    first = asked("my card was stolen")
    later = (*first, Turn("assistant", "card", 2), Turn("user", "Ticket: a transfer\nLabel:", 3))
    for turns in (first, later):
        ask = Ask(Endpoint.CHAT, "m", b"{}", turns)
        exchange = await stage(await RecogniseStage(found)(Exchange("fw-1", ask, ClientKey("app"), mode=Mode.ON)))
    assert exchange.sent[:3] == later[:3]
    assert [turn.text for turn in exchange.sent[3:]] == [
        "Ticket: a transfer to Japan\nLabel:",
        "transfer",
        "Ticket: a transfer\nLabel:",
    ]
    await batcher.aclose()


async def test_without_an_embedder_the_request_goes_on_as_it_came_and_the_operator_is_told(tmp_path: Path) -> None:
    write_template(tmp_path, WITH_EXAMPLES)
    exchange = await answered(tmp_path, asked("my card"), None)
    assert not exchange.changed
    assert "[embedder]" in exchange.notes[-1].reason
    found = FoundTable(found_path(tmp_path))
    found.use(FoundFile((PROMPT,)))
    found.pools.refresh(found.spoken.values())
    assert "needs an [embedder]" in found.problem


async def test_an_embedder_that_is_too_slow_leaves_the_request_as_it_came(tmp_path: Path) -> None:
    class Slow(Batcher):
        async def embed(self, texts: Sequence[str]) -> Vectors:
            await asyncio.sleep(30)
            return await super().embed(texts)

    write_template(tmp_path, WITH_EXAMPLES)
    batcher = Slow(BagEmbedder())
    exchange = await answered(tmp_path, asked("my card"), batcher, budget_ms=1)
    assert not exchange.changed
    assert "took longer than 1 ms" in exchange.notes[-1].reason
    await batcher.aclose()


async def test_a_template_of_another_key_is_not_sent(tmp_path: Path) -> None:
    write_template(tmp_path, replace(WITH_EXAMPLES, key="other"))
    batcher = Batcher(BagEmbedder())
    assert not (await answered(tmp_path, asked("my card"), batcher)).changed
    await batcher.aclose()


def test_an_export_shows_the_place_and_no_text_of_a_user_and_an_import_keeps_the_examples() -> None:
    text = exported(WITH_EXAMPLES)
    assert "nearest: {part: part1, k: 2, rows: 3}" in text
    assert "stolen" not in text
    again = imported(text, WITH_EXAMPLES)
    assert (again.messages, again.nearest) == (WITH_EXAMPLES.messages, WITH_EXAMPLES.nearest)
    assert imported(text.replace("# nearest\n", ""), WITH_EXAMPLES).nearest is None


@pytest.mark.parametrize(
    "wrong",
    [
        replace(WITH_EXAMPLES, nearest=None),
        replace(WITH_EXAMPLES, messages=IDENTITY.messages),
        replace(WITH_EXAMPLES, nearest=NearestExamples("nobody", 2, ROWS)),
        replace(WITH_EXAMPLES, nearest=NearestExamples("part1", 0, ROWS)),
        replace(WITH_EXAMPLES, nearest=NearestExamples("part1", 2, ())),
        replace(WITH_EXAMPLES, nearest=NearestExamples("part1", 2, (ExampleRow(("a", "b"), "card"),))),
    ],
)
def test_examples_that_cannot_be_chosen_are_refused(wrong: FoundTemplate) -> None:
    with pytest.raises(WrongTemplate, match="nearest examples"):
        refuse_changes(wrong, IDENTITY, PROMPT)
