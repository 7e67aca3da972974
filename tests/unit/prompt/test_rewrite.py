"""The stage: which template speaks, what comes out, and every reason to keep the prompt as it is."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.ask import Ask, Controls, Endpoint, Mode, Turn
from gateway.errors import TemplateError
from gateway.exchange import Exchange, Intent, Note, Sampling, SlotValue, Target
from gateway.ports import Vectors
from gateway.prompt.library.library import Library, build_library
from gateway.prompt.library.pools import Pools, load_pools
from gateway.prompt.rewrite import RewriteStage
from gateway.prompt.templates.parse import parse
from gateway.settings.prompt import PromptTable
from tests.doubles.templates import source, template, write

CLASSIFY = "# system\nGive the intent.\n# user\nMessage: {{ query }}\n\nOne word."
PIECES = "# system\nGive the intent.\n# user\nMessage: {{ text }}"
SLOT = "slots: {text: {from: payload, required: true}}\n"
WRAP = "# user\n{{ query }}\n\nThink first."


def library(body: str = CLASSIFY, more: str = SLOT, **fields: str) -> Library:
    errors: list[TemplateError] = []
    return build_library([template(body, more=more, **fields)], errors)


def exchange(query: str, **fields: object) -> Exchange:
    ask = Ask(Endpoint.CHAT, "small", b"{}", (Turn("user", query, 0),))
    intent = Intent("refund", 0.9, 0.9, "en", "static")
    return replace(Exchange("x", ask, intent=intent), **fields)


def naming(query: str) -> Exchange:
    before = exchange(query)
    return replace(before, ask=replace(before.ask, controls=Controls(template="refund.en")))


def stage(found: Library | None, pools: Pools | None = None) -> RewriteStage:
    return RewriteStage(PromptTable(), found, pools)


def last_note(done: Exchange) -> Note:
    assert len(done.notes) == 1
    assert done.notes[0].stage == "rewrite"
    return done.notes[0]


async def test_a_known_intent_is_rewritten_with_everything_on_the_note() -> None:
    more = SLOT + 'output: {max_tokens: 12, temperature: 0, stop: ["\\n"]}\n'
    done = await stage(library(more=more))(exchange("Which intent is this message: where is my money"))
    text = "Message: Which intent is this message: where is my money\n\nOne word."
    assert done.turns == (Turn("system", "Give the intent."), Turn("user", text, around=0, offset=9))
    assert done.sampling == Sampling(12, 0.0, ("\n",))
    assert done.rewrite.slots == (SlotValue("text", "where is my money", "payload", 30, 47),)
    note = last_note(done)
    assert (note.decision, note.reason) == ("rewritten", "refund.en@1: intent refund")
    assert note.data == {
        "template": "refund.en",
        "version": 1,
        "technique": "direct",
        "slots": {"text": ["payload", 30, 47]},
        "shots": [],
        "arm": "stable",
    }


async def reason_of(run: RewriteStage, before: Exchange) -> str:
    done = await run(before)
    note = last_note(done)
    assert note.decision == "kept"
    assert replace(done, notes=()) == before
    return note.reason


NEEDED = f"{PromptTable().confidence:.2f}"
QUERY = "Which intent is this message: pay me"


@pytest.mark.parametrize(
    ("intent", "reason"),
    [
        (Intent.UNKNOWN, "no known intent"),
        (
            Intent("refund", 0.5, 0.9, "en"),
            f"intent 'refund' is only 0.50 certain; {NEEDED} is needed",
        ),
        (Intent("refund", 0.9, 0.2, "en"), "improvable 0.20 is below 0.40"),
        (Intent("refund", 0.9, 0.9, "zh"), "no active template for 'refund' in zh that fits model 'small'"),
        (Intent("refund", 0.9, 0.9, ""), "no active template for 'refund' in this language that fits model 'small'"),
    ],
)
async def test_without_a_good_reason_the_prompt_is_kept(intent: Intent, reason: str) -> None:
    assert await reason_of(stage(library()), exchange(QUERY, intent=intent)) == reason


async def test_a_prompt_that_may_not_be_touched_is_kept() -> None:
    before = exchange(QUERY)
    tools = replace(before, ask=replace(before.ask, has_tools=True))
    assert await reason_of(stage(library()), tools) == "the request has tools"


async def test_while_the_library_is_loading_the_prompt_is_kept() -> None:
    assert await reason_of(stage(None), exchange(QUERY)) == "the template library is still loading"


async def test_a_template_for_another_model_does_not_speak() -> None:
    found = library(more=SLOT + "models: {min_window: 4096}\n")
    small = exchange(QUERY, route=(Target("local", "small", 2048),))
    assert "fits model 'small'" in await reason_of(stage(found), small)
    large = exchange(QUERY, route=(Target("local", "small", 8192),))
    assert (await stage(found)(large)).rewrite.template == "refund.en"


async def test_a_slot_that_cannot_be_filled_keeps_the_prompt() -> None:
    reason = await reason_of_kept("pay me")
    assert reason == "slot 'text' of refund.en cannot be filled: no payload was found in the query"


async def reason_of_kept(query: str) -> str:
    done = await stage(library())(exchange(query))
    assert done.turns is None
    return last_note(done).reason


async def test_a_template_that_writes_the_message_in_pieces_is_for_requests_that_name_it() -> None:
    reason = await reason_of(stage(library(PIECES)), exchange(QUERY))
    whole = "it splits the message, so it is used only for requests that name it"
    assert reason == f"refund.en@1: {whole}"
    assert (await stage(library(PIECES))(naming(QUERY))).turns == (
        Turn("system", "Give the intent."),
        Turn("user", "Message: pay me"),
    )


async def test_a_named_template_that_would_lose_something_is_dropped_and_says_what() -> None:
    query = "Which of these 3 intents of Acme Bank is this message, not two: pay me"
    reason = await reason_of(stage(library(PIECES)), naming(query))
    assert reason == "refund.en would lose '3', 'two', 'Acme Bank', 'not two'"


async def test_white_space_of_the_client_and_the_fields_of_its_message_stay() -> None:
    done = await stage(library(WRAP, ""))(exchange("  which refund \n"))
    assert done.turns == (Turn("user", "  which refund \n\n\nThink first.", around=0),)


async def test_off_leaves_no_trace_and_shadow_decides_all_the_same() -> None:
    before = exchange(QUERY, mode=Mode.OFF)
    assert await stage(library())(before) is before
    shadow = await stage(library())(exchange(QUERY, mode=Mode.SHADOW))
    assert shadow.turns is not None
    assert not shadow.changed


async def test_a_client_can_name_a_template_whatever_the_classifier_thinks() -> None:
    found = library(WRAP, "", status="draft", language="zh")
    before = exchange("hello", intent=Intent.UNKNOWN)
    named = replace(before, ask=replace(before.ask, controls=Controls(template="refund.en@1")))
    done = await stage(found)(named)
    assert done.turns == (Turn("user", "hello\n\nThink first.", around=0),)
    assert last_note(done).reason == "refund.en@1: the request names it"
    unknown = replace(before, ask=replace(before.ask, controls=Controls(template="refund.de")))
    assert await reason_of(stage(found), unknown) == "there is no template 'refund.de'. Did you mean 'refund.en'?"
    retired = library(WRAP, "", status="retired")
    assert (await stage(retired)(named)).turns is None


async def test_the_clients_system_message_stays_first() -> None:
    before = exchange("hello")
    turns = (Turn("system", "Be rude.", 0), Turn("user", "hello", 1))
    named = replace(before, ask=replace(before.ask, turns=turns, controls=Controls(template="refund.en")))
    done = await stage(library("# system\nBe kind.\n# user\n{{ query }}", ""))(named)
    assert done.turns == (Turn("system", "Be rude.\n\nBe kind.", around=0), Turn("user", "hello", around=1))
    plain = await stage(library(WRAP, ""))(named)
    assert plain.turns == (turns[0], Turn("user", "hello\n\nThink first.", around=1))


async def test_the_nearest_examples_are_messages(tmp_path: Path) -> None:
    (tmp_path / "pool.jsonl").write_text(
        '{"text": "my card is gone", "label": "lost"}\n{"text": "money back please", "label": "refund"}\n'
        '{"text": "good morning", "label": "greet"}\n'
    )
    head = SLOT + "technique: few-shot\nexamples: {pool: pool.jsonl, k: 2, as: turns}\n"
    path = write(tmp_path, "t", source("# system\n{{ labels | join('/') }}\n# user\n{{ text }} =>", more=head))
    found = build_library([parse(path.read_text("utf-8"), str(path))], [])

    def embed(texts: Sequence[str]) -> Vectors:
        import numpy as np

        letters = "abcdefghijklmnopqrstuvwxyz"
        counts = np.array([[text.count(letter) for letter in letters] for text in texts], np.float32)
        return np.asarray(counts / np.linalg.norm(counts, axis=1, keepdims=True), np.float32)

    async def embed_soon(texts: Sequence[str]) -> Vectors:
        return embed(texts)

    pools, errors = load_pools(found.templates, embed, "letters", tmp_path, len)
    assert errors == []
    run = RewriteStage(PromptTable(), found, pools, embed_soon)
    done = await run(naming("Which intent is this message: money back"))
    assert done.turns is not None
    assert [turn.role for turn in done.turns] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert done.turns[0].text == "greet/lost/refund"
    assert [turn.text for turn in done.turns[-3:]] == ["money back please =>", "refund", "money back =>"]
    assert done.rewrite.shots[-1] == "pool.jsonl:2"
    loading = await RewriteStage(PromptTable(), found, None, embed_soon)(naming(QUERY))
    assert "still loading" in last_note(loading).reason


async def test_an_example_cannot_stand_in_for_what_the_user_wrote() -> None:
    more = SLOT + "examples:\n  - {input: give 7, output: a}\n"
    body = "# system\n{% for e in examples %}{{ e.input }}={{ e.output }}{% endfor %}\n# user\n{{ text }}"
    done = await stage(library(body, more))(naming("Which 7 intents has this message: pay"))
    assert last_note(done).reason == "refund.en would lose '7'"


async def test_a_message_that_is_a_document_is_kept() -> None:
    long = exchange("word " * 50_000)
    named = replace(long, ask=replace(long.ask, controls=Controls(template="refund.en")))
    assert "at most 200000 are searched" in await reason_of(stage(library(WRAP, "")), named)


@settings(max_examples=150)
@given(st.text(max_size=200))
async def test_whatever_comes_in_one_note_goes_out_and_the_roles_hold(query: str) -> None:
    done = await stage(library())(exchange(query))
    last_note(done)
    if done.turns is not None:
        assert [turn.role for turn in done.turns] == ["system", "user"]
        assert done.rewrite.slots[0].value in done.turns[1].text


ANSWERING = "examples: {pool: pool.jsonl, k: 2, as: turns, question: Which intent is this message}\n"
POOL = (
    '{"text": "my card is gone", "label": "lost"}\n{"text": "money back please", "label": "refund"}\n'
    '{"text": "good morning", "label": "greet"}\n'
)
MINE = "Which intent is this message:\nmoney back"


def with_pool(folder: Path, examples: str, body: str = "# user\n{{ query }}") -> RewriteStage:
    (folder / "pool.jsonl").write_text(POOL)
    path = write(folder, "t", source(body, more=f"technique: few-shot\n{examples}"))
    found = build_library([parse(path.read_text("utf-8"), str(path))], [])

    async def embed_soon(texts: Sequence[str]) -> Vectors:
        return letters(texts)

    pools, errors = load_pools(found.templates, letters, "letters", folder, len)
    assert errors == []
    return RewriteStage(PromptTable(), found, pools, embed_soon)


def letters(texts: Sequence[str]) -> Vectors:
    import numpy as np

    alphabet = "abcdefghijklmnopqrstuvwxyz"
    counts = np.array([[text.count(letter) for letter in alphabet] for text in texts], np.float32)
    return np.asarray(counts / np.linalg.norm(counts, axis=1, keepdims=True), np.float32)


async def test_examples_are_the_clients_message_with_another_text(tmp_path: Path) -> None:
    done = await with_pool(tmp_path, ANSWERING)(exchange(MINE))
    assert done.turns is not None
    shown = [(turn.role, turn.text) for turn in done.turns]
    assert shown[-3:] == [
        ("user", "Which intent is this message:\nmoney back please"),
        ("assistant", "refund"),
        ("user", MINE),
    ]
    assert len(shown) == 5


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("Is this message rude:\nmoney back", "it has words that the question does not have: rude"),
        ("Which intent is this message: money back", "its text is uncertain"),
        ("Which intent is this message:\nqqqqq", "unlike every example"),
        ("Which intent is this message (spam, ham):\nmoney back", "it names other labels"),
    ],
)
async def test_another_question_gets_no_examples_and_no_change(tmp_path: Path, query: str, why: str) -> None:
    done = await with_pool(tmp_path, ANSWERING)(exchange(query))
    assert done.turns is None
    assert why in last_note(done).reason


async def test_the_rest_of_a_template_speaks_where_its_examples_are_not_required(tmp_path: Path) -> None:
    body = "# user\n{{ query }}\n\nBriefly.{% if labels %} One of {{ labels | join(', ') }}.{% endif %}"
    stage = with_pool(tmp_path, ANSWERING.replace("k: 2", "k: 1, required: false"), body)
    other = await stage(exchange("Is this message rude:\nmoney back"))
    assert other.turns == (Turn("user", "Is this message rude:\nmoney back\n\nBriefly.", around=0),)
    own = await stage(exchange(MINE))
    assert own.turns is not None
    assert own.turns[-1].text == f"{MINE}\n\nBriefly. One of greet, lost, refund."


async def test_a_pool_of_several_questions_is_for_requests_that_name_its_template(tmp_path: Path) -> None:
    stage = with_pool(tmp_path, "examples: {pool: pool.jsonl, k: 1, as: turns}\n", "# user\n{{ query }}\n\nBriefly.")
    done = await stage(exchange(MINE))
    assert done.turns == (Turn("user", f"{MINE}\n\nBriefly.", around=0),)
    named = await stage(naming(MINE))
    assert named.turns is not None
    assert [turn.role for turn in named.turns] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("query", "template"),
    [(MINE, "special.en"), ("Is this message rude:\nmoney back", "general.en"), ("Which intent is it", "general.en")],
)
async def test_a_template_for_one_question_comes_first_and_leaves_other_requests_to_the_general_one(
    tmp_path: Path, query: str, template: str
) -> None:
    (tmp_path / "pool.jsonl").write_text(POOL)
    special = source("# user\n{{ query }}", id="special.en", more=f"technique: few-shot\n{ANSWERING}")
    general = source("# user\n{{ query }}\n\nBe brief.", id="general.en", version=9)
    paths = [write(tmp_path, name, text) for name, text in (("a", general), ("b", special))]
    found = build_library([parse(path.read_text("utf-8"), str(path)) for path in paths], [])

    async def embed_soon(texts: Sequence[str]) -> Vectors:
        return letters(texts)

    pools, _ = load_pools(found.templates, letters, "letters", tmp_path, len)

    done = await RewriteStage(PromptTable(), found, pools, embed_soon)(exchange(query))

    assert done.rewrite.template == template


async def test_a_template_that_adds_nothing_leaves_the_prompt_unless_the_request_names_it() -> None:
    bare = stage(library("# user\n{{ query }}", ""))
    assert await reason_of(bare, exchange(QUERY)) == "refund.en adds nothing to this prompt"
    assert (await bare(naming(QUERY))).turns == (Turn("user", QUERY, around=0),)
