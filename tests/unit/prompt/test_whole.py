"""The client's message is one whole piece of what is sent, or its own bytes are sent."""

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.ask import Ask, Controls, Endpoint, Turn
from gateway.context.retrieve import ahead_of_the_user
from gateway.exchange import Arm, ContextPlan, Exchange, Intent, Note, Rewrite, Sampling
from gateway.prompt.library.library import load_library
from gateway.prompt.rewrite import RewriteStage
from gateway.prompt.templates.fields import Purpose
from gateway.prompt.templates.template import Template
from gateway.prompt.whole import WholeStage
from gateway.settings.prompt import PromptTable
from gateway.wire.chat import decode, encode
from gateway.wire.responses import request

OWN = Turn("user", "pay me", 0)
REWRITTEN = Rewrite("refund.en", 1, "direct", arm=Arm.STABLE)


def sending(*turns: Turn, own: tuple[Turn, ...] = (OWN,), **fields: object) -> Exchange:
    exchange = Exchange("x", Ask(Endpoint.CHAT, "m", b"{}", own), turns=turns, rewrite=REWRITTEN)
    return replace(exchange, **fields)


async def decided(exchange: Exchange) -> str:
    done = await WholeStage()(exchange)
    return done.notes[-1].decision if done.notes else "sent"


async def test_additions_before_and_after_the_message_are_sent() -> None:
    assert await decided(sending(Turn("user", "Now: pay me\n\nBriefly.", around=0, offset=5))) == "sent"
    assert await decided(sending(Turn("system", "Be kind."), OWN)) == "sent"


async def test_a_message_that_is_cut_or_reworded_is_sent_as_it_came() -> None:
    for turn in (
        Turn("user", "Now: pay", around=0, offset=5),
        Turn("user", "Now: pay me", around=0, offset=4),
        Turn("user", "pay\nme", around=0),
        Turn("user", "pay me"),  # a turn that does not say where the message stands
    ):
        made = Note("rewrite", "rewritten", "refund.en@1: intent refund")
        exchange = sending(turn, sampling=Sampling(9), notes=(made,))

        done = await WholeStage()(exchange)

        assert (done.turns, done.changed, done.sampling) == (None, False, Sampling.NONE)
        assert done.rewrite == replace(REWRITTEN, withheld=(turn,))
        assert [note.decision for note in done.notes] == ["undone", "undone"]  # no note says that it was rewritten
        assert done.notes[-1].reason == "refund.en would not send the client's message whole"


async def test_a_later_message_cannot_stand_in_for_the_last_one() -> None:
    turns = (OWN, Turn("assistant", "No.", 1), Turn("user", "pay me more", 2))
    assert await decided(sending(*turns[:2], Turn("user", "pay me", around=0), own=turns)) == "undone"


async def test_what_the_client_ordered_itself_is_exempt_and_says_so() -> None:
    reworded = sending(Turn("user", "Intent?"))
    named = replace(reworded, ask=replace(reworded.ask, controls=Controls(template="refund.en")))
    assert await decided(named) == "exempt"
    assert await decided(replace(reworded, rewrite=Rewrite("refine.en", 1, "refine"))) == "exempt"
    assert await decided(replace(reworded, plan=ContextPlan("map_reduce"))) == "exempt"
    assert await decided(replace(reworded, rewrite=Rewrite.NONE)) == "exempt"
    assert await decided(replace(reworded, turns=None)) == "sent"


async def test_sources_ahead_of_the_message_leave_it_whole() -> None:
    added = Turn("user", "Now: pay me\n\nBriefly.", around=0, offset=5)
    for turn in (OWN, added):
        (sourced,) = ahead_of_the_user((turn,), "Sources: ...")
        assert sourced.text == f"Sources: ...\n\n{turn.text}"
        assert await decided(sending(sourced)) == "sent"


def test_the_other_fields_and_parts_of_the_message_stay() -> None:
    part = {"type": "text", "text": "pay me", "cache_control": {"type": "ephemeral"}}
    for content in ("pay me", [part]):
        message = {"role": "user", "name": "Ada", "content": content}
        ask = decode.chat(json.dumps({"model": "m", "messages": [message]}).encode(), {})
        turn = Turn("user", "Now: pay me\n\nBriefly.", around=0, offset=5)

        body = json.loads(encode.body(sending(turn, own=ask.turns, ask=ask), "m"))

        before, after = {"type": "text", "text": "Now: "}, {"type": "text", "text": "\n\nBriefly."}
        sent = "Now: pay me\n\nBriefly." if isinstance(content, str) else [before, part, after]
        assert body["messages"] == [{**message, "content": sent}]


def test_a_message_of_a_response_keeps_its_parts() -> None:
    part = {"type": "input_text", "text": "pay me"}
    item = {"role": "user", "type": "message", "content": [part], "status": "completed"}
    ask = request.ask(json.dumps({"model": "m", "input": [item]}).encode(), {})
    exchange = sending(Turn("user", "pay me\n\nBriefly.", around=0), own=ask.turns, ask=ask)

    body = json.loads(encode.body(exchange, "m"))

    assert body["input"] == [{**item, "content": [part, {"type": "input_text", "text": "\n\nBriefly."}]}]


LIBRARY = load_library([Path(__file__).parents[3] / "templates"])[0]
CHOSEN = [template for template in LIBRARY.templates if template.active and template.purpose is Purpose.ANSWER]
PIECES = ("Summarise: ", "翻译：", "how old is ", '"quoted"', "\n", " ", "```\nx = 1\n```", "{{ query }}", "# system")
MESSAGES = st.lists(st.sampled_from(PIECES) | st.text(max_size=20), max_size=8).map("".join)


@settings(max_examples=60)
@given(st.sampled_from(CHOSEN), MESSAGES)
async def test_whatever_the_template_and_the_message_it_is_sent_as_one_piece(template: Template, message: str) -> None:
    raw = json.dumps({"model": "m", "messages": [{"role": "user", "content": message}]}).encode()
    intent = Intent(template.intent.name, 0.99, 0.99, template.language)
    rewritten = await RewriteStage(PromptTable(), LIBRARY)(Exchange("x", decode.chat(raw, {}), intent=intent))

    done = await WholeStage()(rewritten)

    (*_, last) = json.loads(encode.body(done, "m"))["messages"]
    assert last["role"] == "user"
    assert done.notes[-1].stage == "rewrite"
    if done.turns is not None:
        place = done.turns[-1].offset
        assert last["content"][place : place + len(message)] == message


def test_every_shipped_template_can_be_chosen() -> None:
    assert all(template.whole for template in CHOSEN)
