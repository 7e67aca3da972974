"""Slots that the rules leave empty: the nearest value of an enum, and one call whose words must be the query's."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.ask import Ask, Endpoint, Mode, Turn
from gateway.errors import NotReady
from gateway.exchange import Exchange, Intent, SlotValue
from gateway.ports import Vectors
from gateway.prompt.library.library import build_library
from gateway.prompt.rewrite import RewriteStage
from gateway.prompt.slots.extract import ExtractedSlots, Extractor, checked, locate, schema_of
from gateway.prompt.templates.fields import Slot, SlotSource, SlotType
from gateway.prompt.templates.template import Template
from gateway.settings.prompt import PromptTable
from tests.doubles.bag_embedder import BagEmbedder
from tests.doubles.completer import ScriptedCompleter
from tests.doubles.templates import template

TONE = "slots:\n  tone: {type: enum, values: {formal: [official letter], warm: [cosy]}, nearest: 0.7}\n"
MODEL = """slots:
  who: {type: text}
  due: date
  count: {type: number}
  size: {type: enum, values: [small, large]}
  parts: {type: list}
extract: {model: helper, slots: [who, count, size, parts], timeout_ms: 200, max_tokens: 50}
"""
QUERY = "make it for my  Aunt Mary, a dozen pears and plums, two hundred grams"


def asking(query: str = QUERY) -> Exchange:
    ask = Ask(Endpoint.CHAT, "small", b"{}", (Turn("user", query, 0),))
    return Exchange("x", ask, intent=Intent("refund", 0.9, 0.9, "en"))


async def embed(texts: Sequence[str]) -> Vectors:
    return BagEmbedder().embed(texts)


async def extracted(read: Template, exchange: Exchange, completer: ScriptedCompleter | None = None) -> ExtractedSlots:
    return await Extractor()(read, exchange, embed, completer, 1.0)


async def test_words_near_enough_to_a_value_mean_it_and_keep_their_place() -> None:
    read = template("# user\n{{ tone }}", more=TONE)
    found = await extracted(read, asking("Write my letter official please"))
    assert found.values == (SlotValue("tone", "formal", "nearest", 9, 24),)
    assert (await extracted(read, asking("Write something about the sea"))).values == ()


async def test_an_embedder_that_is_overloaded_leaves_the_slot_empty() -> None:
    async def busy(texts: Sequence[str]) -> Vectors:
        raise NotReady("busy")

    read = template("# user\n{{ tone }}", more=TONE)
    assert await Extractor()(read, asking("an official thing"), busy, None, 1.0) == ExtractedSlots()


async def test_what_a_model_says_is_taken_from_the_query_itself() -> None:
    model = ScriptedCompleter(
        '```json\n{"who": "my aunt mary", "count": "TWO HUNDRED", "size": "large", "parts": ["pears", "plums"]}\n```'
    )
    found = await extracted(template("# user\n{{ who }}", more=MODEL), asking(), model)
    places = {value.name: (value.value, QUERY[value.start : value.end], value.source) for value in found.values}
    assert places == {
        "who": ("my  Aunt Mary", "my  Aunt Mary", "model"),
        "size": ("large", "", "model"),
        "parts": ("pears\nplums", "pears and plums", "model"),
    }
    assert [call.purpose for call in found.calls] == ["slots"]
    name, asked, schema = model.asked[0]
    assert name == "helper"
    assert QUERY in asked
    assert schema is not None
    assert schema["required"] == ["who", "size", "parts"]


async def test_what_is_not_in_the_query_is_dropped_and_named() -> None:
    model = ScriptedCompleter('{"who": "Uncle Bob", "count": null, "size": "huge", "parts": null}')
    found = await extracted(template("# user\n{{ who }}", more=MODEL), asking(), model)
    assert found.values == ()
    assert [what.partition(":")[0] for what in found.dropped] == ["who", "size"]


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (ScriptedCompleter(None), "the call for slots failed: The backend is down."),
        (ScriptedCompleter("{}", delay_s=5), "the call for slots failed: it took longer than 0.2 s"),
        (ScriptedCompleter("Sure! Aunt Mary."), "the answer of the call for slots is not a JSON object"),
    ],
)
async def test_a_call_that_fails_is_as_no_call_but_noted(model: ScriptedCompleter, why: str) -> None:
    found = await extracted(template("# user\n{{ who }}", more=MODEL), asking(), model)
    assert found.values == ()
    assert found.dropped == (why,)
    assert len(found.calls) == 1


async def test_no_model_is_asked_where_the_rules_found_everything_or_nothing_is_called() -> None:
    model = ScriptedCompleter("{}")
    read = template("# user\n{{ who }}", more=MODEL)
    await extracted(read, replace(asking(), dry=True), model)
    await extracted(read, replace(asking(), mode=Mode.SHADOW), model)
    rules = template("# user\n{{ count }}", more="slots: {count: {type: number}}\nextract: {slots: [count]}\n")
    await extracted(rules, asking("3 of them"), model)
    assert model.asked == []


async def test_the_stage_fills_required_slots_from_the_model_and_counts_the_call() -> None:
    more = "slots:\n  who: {type: text, required: true}\nextract: {slots: [who]}\n"
    library = build_library([template("# user\nFor {{ who }}: {{ query }}", more=more)], [])
    model = ScriptedCompleter('{"who": "Aunt Mary"}', '{"who": "Nobody"}')
    stage = RewriteStage(PromptTable(), library, completer=model)
    done = await stage(asking())
    assert done.turns == (Turn("user", f"For Aunt Mary: {QUERY}", around=0, offset=15),)
    assert done.rewrite.slots == (SlotValue("who", "Aunt Mary", "model", 16, 25),)
    assert len(done.calls) == 1
    kept = await stage(asking())
    assert kept.turns is None
    assert len(kept.calls) == 1


def test_the_schema_allows_no_value_and_no_other_keys() -> None:
    slots = template("# user\n{{ who }}", more=MODEL).slots
    schema = schema_of({"size": slots["size"], "parts": slots["parts"]})
    assert schema["properties"] == {
        "size": {"enum": ["small", "large", None]},
        "parts": {"type": ["array", "null"], "items": {"type": "string"}},
    }
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("query", "words", "found"),
    [
        ("Ask Mary  Lopez", "mary lopez", "Mary  Lopez"),
        ("共１２个", "12", "１２"),
        ("abc", "abd", None),
        ("abc", " ", None),
    ],
)
def test_words_are_found_whatever_their_case_width_and_blanks(query: str, words: str, found: str | None) -> None:
    place = locate(query, words)
    assert (query[slice(*place)] if place else None) == found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["formal", "Aunt Mary"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.sampled_from([None, *SlotType]))
@settings(max_examples=200)
def test_any_json_is_a_value_of_the_query_or_none(said: object, kind: SlotType | None) -> None:
    slot = Slot((SlotSource.PATTERN,), type=kind, values={"formal": ("formal", "aunt mary")})
    value = checked("tone", slot, said, QUERY)
    assert value is None or value.value in slot.values or value.start >= 0


@given(JSON)
@settings(max_examples=50)
async def test_whatever_a_model_answers_the_call_is_counted(said: object) -> None:
    answer = json.dumps({"who": said, "count": said, "size": said, "parts": said})
    result = await extracted(template("# user\n{{ who }}", more=MODEL), asking(), ScriptedCompleter(answer))
    assert [call.purpose for call in result.calls] == ["slots"]


async def test_json_that_is_nested_without_end_is_no_value() -> None:
    answer = '{"who": ' + "[" * 100_000 + "]" * 100_000 + "}"
    result = await extracted(template("# user\n{{ who }}", more=MODEL), asking(), ScriptedCompleter(answer))
    assert (result.values, len(result.calls)) == ((), 1)
