from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.ask import Ask, ClientKey, Controls, Endpoint, Mode, Turn
from gateway.context.pack import CHUNK_TOKENS, SourceBudget, pack
from gateway.context.retrieve import RetrieveStage, ahead_of_the_user
from gateway.context.store.collections import Collections
from gateway.context.store.distinct import distinct
from gateway.context.store.lexical import Likeness
from gateway.context.store.stored_documents import Documents
from gateway.errors import BadRequest, KeyNotAllowed, NotFound, NotReady, RequestError, StoreUnreachable
from gateway.exchange import Chunk, Exchange, Intent, Target
from gateway.filters import AttributeComparison
from gateway.ports import Vectors
from gateway.settings.context import Context
from tests.doubles.bag_embedder import BagEmbedder
from tests.doubles.collections import fill

TEXTS = {
    "leave.md": ["Every employee has fifteen days of paid leave.", "Leave forms are signed by the head of department."],
    "pay.md": ["Pay comes on the last day of the month."],
}


def words(_backend: str, text: str) -> int:
    return len(text.split())


@pytest.fixture
def stage(collections: Collections) -> RetrieveStage:
    """The stage over a collection of three chunks in two documents, and one of another key."""
    embedder = BagEmbedder()
    fill(collections, "", "handbook", TEXTS)
    fill(collections, "", "secret", {"secret.md": ["secret leave"]})
    fill(collections, "other", "private", {"private.md": ["Their private leave."]})

    async def embed(texts: Sequence[str]) -> Vectors:
        return embedder.embed(texts)

    return RetrieveStage(Context(), words, embed=embed, collections=collections, mark_of=lambda _: "q7")


def asking(
    query: str, controls: Controls | None = None, *, key: ClientKey = ClientKey.ANONYMOUS, window: int = 0
) -> Exchange:
    turns = (Turn("system", "Be brief.", 0), Turn("user", query, 1))
    ask = Ask(Endpoint.CHAT, "m", b"{}", turns, controls=controls or Controls(collections=("handbook",)))
    return Exchange("x1", ask, key=key, route=(Target("main", "m", window),))


async def test_a_request_without_collections_passes_untouched(stage: RetrieveStage) -> None:
    exchange = asking("leave?", Controls())

    assert await stage(exchange) is exchange


async def test_what_is_found_goes_ahead_of_the_users_own_words(stage: RetrieveStage) -> None:
    done = await stage(asking("How many days of paid leave has an employee?"))

    assert [turn.role for turn in done.prompt] == ["system", "user"]
    assert done.prompt[0] == done.ask.turns[0]
    text = done.prompt[1].text
    assert text.endswith("sources q7>>>\n\nHow many days of paid leave has an employee?")
    assert "[1] leave.md\nEvery employee has fifteen days of paid leave." in text
    assert done.prompt[1].source == -1


async def test_the_citations_are_in_the_note_and_the_chunks_in_the_exchange(stage: RetrieveStage) -> None:
    done = await stage(
        asking("How many days of paid leave has an employee?", Controls(collections=("handbook",), top_k=1))
    )

    (chunk,) = done.chunks
    (note,) = done.notes
    assert (note.stage, note.decision, note.reason) == ("retrieve", "retrieved", "1 chunk of handbook")
    assert note.data["citations"] == [
        {
            "n": 1,
            "id": "leave.md-0",
            "collection": "handbook",
            "source": "leave.md",
            "heading": "",
            "page": 0,
            "start": 0,
            "end": 46,
            "score": round(chunk.score, 4),
        }
    ]
    assert (chunk.text, chunk.tokens) == (TEXTS["leave.md"][0], 8)  # as the answering model counts


async def test_a_rewritten_prompt_is_what_the_sources_go_into(stage: RetrieveStage) -> None:
    rewritten = (Turn("user", "Shot"), Turn("assistant", "Answer"), Turn("user", "Question: days of leave"))

    done = await stage(replace(asking("days of paid leave"), turns=rewritten))

    assert done.prompt[:2] == rewritten[:2]
    assert done.prompt[2].text.endswith(">>>\n\nQuestion: days of leave")


async def test_the_instruction_is_in_the_querys_language(stage: RetrieveStage) -> None:
    exchange = asking("days of paid leave")

    assert "Answer the request" in (await stage(exchange)).prompt[1].text
    assert "请根据" in (await stage(replace(exchange, intent=Intent("ask", language="zh")))).prompt[1].text


async def test_nothing_near_enough_changes_nothing_and_says_so(stage: RetrieveStage) -> None:
    done = await stage(asking("zebra crossing"))

    assert (done.turns, done.chunks, done.notes[-1].decision) == (None, (), "nothing found")
    assert done.notes[-1].reason.endswith("the floor 0.50")


@pytest.mark.parametrize("talk", ["Thanks!", "ok great", "你好，谢谢你的帮助！"])
async def test_small_talk_gets_no_passages(stage: RetrieveStage, talk: str) -> None:
    done = await stage(asking(talk))

    assert (done.turns, done.notes[-1].decision) == (None, "skipped")
    assert done.notes[-1].reason == "the message is small talk"


async def test_a_wrong_name_is_an_error_beside_small_talk_too(stage: RetrieveStage) -> None:
    with pytest.raises(NotFound, match="no collection 'hand-book'"):
        await stage(asking("Thanks!", Controls(collections=("hand-book",))))


async def test_a_task_on_a_text_that_came_with_it_gets_no_passages_from_an_offer(stage: RetrieveStage) -> None:
    message = "Translate into French: Every employee has fifteen days of paid leave."

    offered = await stage(asking(message))
    required = await stage(asking(message, Controls(collections=("handbook",), collections_required=True)))

    assert (offered.turns, offered.notes[-1].decision) == (None, "skipped")
    assert required.chunks


async def test_a_task_on_the_text_of_an_earlier_message_gets_no_passages_from_an_offer(stage: RetrieveStage) -> None:
    pasted = "Every employee has fifteen days of paid leave. " * 30
    task = "Now translate the text above about paid leave into French."
    exchange = asking(task)
    talk = (Turn("user", pasted, 0), Turn("assistant", "I have read it.", 1), Turn("user", task, 2))

    done = await stage(replace(exchange, ask=replace(exchange.ask, turns=talk)))

    assert (done.turns, done.notes[-1].decision) == (None, "skipped")
    assert done.notes[-1].reason == "the message is a task on a text in an earlier message"


async def test_a_required_collection_gives_its_nearest_passages_to_any_question(stage: RetrieveStage) -> None:
    required = Controls(collections=("handbook",), collections_required=True)

    assert (await stage(asking("zebra crossing", required))).chunks
    assert (await stage(asking("Thanks!", required))).chunks


async def test_required_sources_are_sent_in_the_shadow_too(stage: RetrieveStage) -> None:
    required = Controls(collections=("handbook",), collections_required=True)
    exchange = replace(asking("How many days of paid leave has an employee?", required), mode=Mode.SHADOW)

    done = await stage(exchange)

    assert "<<<sources" in done.sent[1].text
    assert done.notes[-1].decision == "retrieved"


@pytest.mark.parametrize(
    ("exchange", "error"),
    [
        ({"key": ClientKey("app", mode=Mode.OFF)}, KeyNotAllowed),
        ({"route": (Target("main", "m", 170),)}, BadRequest),
    ],
)
async def test_sources_that_are_required_and_cannot_be_given_fail_the_request(
    stage: RetrieveStage, exchange: dict[str, Any], error: type[RequestError]
) -> None:
    question = "How many days of paid leave has an employee?"
    offered = await stage(replace(asking(question), **exchange))
    required = Controls(collections=("handbook",), collections_required=True)

    assert offered.notes[-1].decision == "skipped"
    with pytest.raises(error) as refusal:
        await stage(replace(asking(question, required), **exchange))
    assert refusal.value.param == "foreword.collections_required"


async def test_required_sources_whose_search_fails_fail_the_request_and_offered_ones_do_not(
    stage: RetrieveStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pipeline notes the failure of an offer, and goes on."""

    def fails(*_: object) -> None:
        raise OSError("a plug-in's own error")

    assert stage.collections is not None
    monkeypatch.setattr(stage.collections.vectors, "search", fails)
    question = "How many days of paid leave has an employee?"
    with pytest.raises(NotReady, match="the search failed"):
        await stage(asking(question, Controls(collections=("handbook",), collections_required=True)))
    with pytest.raises(OSError, match="own error"):
        await stage(asking(question))


async def test_a_vector_server_that_does_not_answer_leaves_the_search_by_words(
    stage: RetrieveStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_gone(*_: object) -> None:
        raise StoreUnreachable("no server answers")

    assert stage.collections is not None
    monkeypatch.setattr(stage.collections.vectors, "search", is_gone)
    required = Controls(collections=("handbook",), collections_required=True)

    done = await stage(asking("How many days of paid leave has an employee?", required))

    assert done.chunks[0].source == "leave.md"
    assert stage.collections.damage == "no server answers"


async def test_required_sources_wait_for_the_embedder() -> None:
    required = Controls(collections=("handbook",), collections_required=True)

    with pytest.raises(NotReady, match="still loading"):
        await RetrieveStage(Context(), words)(asking("leave", required))


def talking(*said: str) -> Exchange:
    talk = [Turn(role, text) for one in said for role, text in (("user", one), ("assistant", "Yes."))][:-1]
    turns = tuple(replace(turn, source=place) for place, turn in enumerate(talk))
    exchange = asking(said[-1])
    return replace(exchange, ask=replace(exchange.ask, turns=turns))


async def test_a_follow_up_is_looked_up_with_the_message_before_it(stage: RetrieveStage) -> None:
    question = "How many days of paid leave has an employee?"

    assert (await stage(talking(question, "And who signs it?"))).chunks
    assert not (await stage(talking("How tall is the zebra?", "And who signs it?"))).chunks
    assert not (await stage(talking(question, "Thanks!"))).chunks
    assert not (await stage(talking(question, "Which planet of the solar system has visible rings?"))).chunks


async def test_a_key_reads_only_its_collections(stage: RetrieveStage) -> None:
    key = ClientKey("app", collections=("handbook",))

    with pytest.raises(KeyNotAllowed, match="may not read the collection 'secret'"):
        await stage(asking("leave", Controls(collections=("handbook", "secret")), key=key))


async def test_an_unknown_collection_is_answered_with_those_the_key_may_see(stage: RetrieveStage) -> None:
    with pytest.raises(NotFound, match=r"no collection 'hand-book'\. Known: handbook, secret\."):
        await stage(asking("leave", Controls(collections=("hand-book",))))
    with pytest.raises(NotFound, match=r"Known: handbook\.") as refusal:
        key = ClientKey("app", collections=("handbook", "hand-book"))
        await stage(asking("leave", Controls(collections=("hand-book",)), key=key))
    assert refusal.value.code == "collection_not_found"


async def test_what_belongs_to_another_key_does_not_exist(stage: RetrieveStage) -> None:
    assert stage.collections is not None
    (private,) = [found for found in stage.collections.catalog.collections() if found.owner]
    mine = Controls(collections=(private.id,))

    assert (await stage(asking("private leave", mine, key=ClientKey("other")))).chunks
    assert (await stage(asking("private leave", mine, key=ClientKey("admin", admin=True)))).chunks
    for name in ("private", private.id):
        with pytest.raises(NotFound, match=r"Known: handbook, secret\."):
            await stage(asking("private leave", Controls(collections=(name,)), key=ClientKey("app")))


async def test_a_filter_keeps_to_the_documents_that_it_names(stage: RetrieveStage) -> None:
    of_pay = AttributeComparison("source", "eq", "pay.md")
    controls = Controls(collections=("handbook",), filters=of_pay)

    done = await stage(asking("the last day of the month of an employee with paid leave", controls))

    assert {chunk.source for chunk in done.chunks} == {"pay.md"}
    nobody = replace(controls, filters=AttributeComparison("source", "eq", "none.md"))
    assert (await stage(asking("paid leave", nobody))).notes[-1].decision == "nothing found"


async def test_several_collections_are_searched_together(stage: RetrieveStage) -> None:
    both = Controls(collections=("handbook", "secret"), collections_required=True)

    done = await stage(asking("secret paid leave for an employee", both))

    assert {chunk.collection for chunk in done.chunks} == {"handbook", "secret"}
    assert {chunk.text for chunk in done.chunks} >= {TEXTS["leave.md"][0], "secret leave"}


async def test_two_collections_of_one_name_are_told_apart_by_their_ids(
    stage: RetrieveStage, collections: Collections
) -> None:
    mine = fill(collections, "app", "handbook", {"mine.md": ["My paid leave of an employee is long."]})
    shared = collections.catalog.latest("handbook", "")
    assert shared is not None
    controls = Controls(collections=("handbook", shared.id))

    done = await stage(asking("paid leave of an employee", controls, key=ClientKey("app")))

    sources = {chunk.source: chunk.collection for chunk in done.chunks}
    assert sources["mine.md"] == f"handbook ({mine})"
    assert sources["leave.md"] == f"handbook ({shared.id})"


async def test_excerpts_are_weighed_in_the_collection_that_they_are_from(
    stage: RetrieveStage, collections: Collections, monkeypatch: pytest.MonkeyPatch
) -> None:
    filler = " ".join(f"filler{number}" for number in range(60))
    texts = {"one.md": [f"Paid leave is long. {filler}"], "two.md": [f"Paid leave is short. {filler}"]}
    mine = fill(collections, "app", "handbook", texts)
    shared = fill(
        collections, "", "handbook", {"three.md": [f"Paid leave is fair. {filler.replace('filler', 'other')}"]}
    )
    weighed: list[str] = []
    likeness = Documents.likeness

    def spied(documents: Documents, query: str) -> Likeness:
        weighed.append(documents.collection)
        return likeness(documents, query)

    monkeypatch.setattr(Documents, "likeness", spied)
    controls = Controls(collections=("handbook", shared), collections_required=True, budget_tokens=100)

    done = await stage(asking("paid leave", controls, key=ClientKey("app")))

    assert set(weighed) == {mine, shared}
    assert done.chunks


async def test_while_the_embedder_loads_the_request_goes_on_and_says_so() -> None:
    done = await RetrieveStage(Context(), words)(asking("leave"))

    assert (done.turns, done.notes[-1].decision) == (None, "skipped")
    assert "still loading" in done.notes[-1].reason


async def test_the_sources_leave_room_for_the_question_and_the_answer(stage: RetrieveStage) -> None:
    done = await stage(asking("How many days of paid leave has an employee?", window=400))
    full = await stage(asking("How many days of paid leave? " * 20, window=400))

    assert 0 < len(done.chunks) < 3
    assert (full.turns, full.notes[-1].decision) == (None, "skipped")


async def test_a_query_in_a_message_with_an_image_is_not_guessed(stage: RetrieveStage) -> None:
    exchange = asking("")
    turns = (Turn("user", "", 0, plain=False),)

    done = await stage(replace(exchange, ask=replace(exchange.ask, turns=turns)))

    assert (done.turns, done.notes[-1].decision) == (None, "skipped")


def test_sources_get_a_turn_of_their_own_ahead_of_one_that_is_not_plain() -> None:
    turns = (Turn("system", "s", 0), Turn("user", "", 1, plain=False))

    assert ahead_of_the_user(turns, "sources") == (turns[0], Turn("user", "sources"), turns[1])


def piece(source: str, start: int, score: float, tokens: int = 10, text: str = "") -> Chunk:
    return Chunk(
        f"{source}{start}", "c", source, text or f"{source} {start}", start, start + 5, tokens=tokens, score=score
    )


def test_the_order_of_packed_chunks_does_not_depend_on_their_scores() -> None:
    chunks = [piece("a", 50, 0.5), piece("b", 90, 0.9), piece("a", 10, 0.4), piece("b", 20, 0.3)]

    assert [chunk.id for chunk in pack(chunks, SourceBudget(1000, 1000))] == ["a10", "a50", "b20", "b90"]


def test_a_chunk_that_does_not_fit_makes_way_for_a_smaller_one() -> None:
    chunks = [piece("a", 0, 0.9), piece("b", 0, 0.8, tokens=500), piece("c", 0, 0.7)]

    room = 2 * (10 + CHUNK_TOKENS)
    assert [chunk.id for chunk in pack(chunks, SourceBudget(1000, room))] == ["a0", "c0"]
    assert [chunk.id for chunk in pack(chunks, SourceBudget(20, 1000))] == ["a0", "c0"]


def test_nearly_the_same_words_are_used_once() -> None:
    text = "The canteen opens at noon and closes at two on every working day of the year."
    chunks = [piece("a", 0, 0.9, text=text), piece("b", 0, 0.8, text=text.replace("noon", "one")), piece("c", 0, 0.1)]

    assert distinct(chunks) == [chunks[0], chunks[2]]


def test_passages_that_differ_in_a_number_are_all_used() -> None:
    text = "Profit before taxes and interest of all segments of the group was 1083 in the year 2011, after 1030 before."
    chunks = [piece("a", 0, 0.9, text=text), piece("b", 0, 0.8, text=text.replace("1083", "1063"))]

    assert distinct(chunks) == chunks


def test_the_same_words_are_used_once_with_the_best_score() -> None:
    chunks = [piece("a", 0, 0.9, text="Fifteen  days."), piece("b", 0, 0.8, text="fifteen days.\n")]

    assert distinct(chunks) == chunks[:1]


@given(
    st.lists(st.tuples(st.integers(0, 300), st.floats(-1, 1)), max_size=20),
    st.integers(-10, 1000),
    st.integers(-10, 1000),
)
def test_a_pack_is_never_over_its_budget(sizes: list[tuple[int, float]], tokens: int, room: int) -> None:
    chunks = [piece("a", place, score, tokens) for place, (tokens, score) in enumerate(sizes)]

    packed = pack(chunks, SourceBudget(tokens, room))

    assert sum(chunk.tokens for chunk in packed) <= max(tokens, 0)
    assert sum(chunk.tokens + CHUNK_TOKENS for chunk in packed) <= max(room, 0)
    assert set(packed) <= set(chunks)
