"""The stage that searches for a client's tool `file_search`: for whom, for what, how much, and what it refuses."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from gateway.ask import Ask, ClientKey, Controls, Endpoint, Mode, Turn
from gateway.context.file_search import FileSearchStage
from gateway.context.retrieve import RetrieveStage
from gateway.context.store.collections import Collections
from gateway.errors import BadRequest, NotFound, NotReady
from gateway.exchange import Exchange, Target
from gateway.file_search import FileSearch, FileSearchResult, FileSource
from gateway.filters import AttributeComparison
from gateway.ports import Vectors
from gateway.settings.context import Context
from tests.doubles.bag_embedder import BagEmbedder
from tests.doubles.collections import fill

LEAVE = ["Every employee has fifteen days of paid leave.", "Leave forms are signed by the head of department."]
PAY = ["Pay comes on the last day of the month."]
QUESTION = "How many days of paid leave has an employee?"
ALICE = ClientKey("alice")


def words(_backend: str, text: str) -> int:
    return len(text.split())


@pytest.fixture
def retrieve() -> RetrieveStage:
    async def embed(texts: Sequence[str]) -> Vectors:
        return BagEmbedder().embed(texts)

    return RetrieveStage(Context(), words, embed=embed, mark_of=lambda _: "q7")


@pytest.fixture
def store(collections: Collections) -> str:
    fill(collections, "bob", "leave", {"theirs.md": LEAVE})
    return fill(collections, "alice", "handbook", {"leave.md": LEAVE, "pay.md": PAY})


@pytest.fixture
def stage(retrieve: RetrieveStage, collections: Collections) -> FileSearchStage:
    """Over collections of two keys. A model called `native` is at a backend that searches stores of its own."""
    return FileSearchStage(retrieve, collections, lambda target: target.model == "native")


def asking(
    tool: FileSearch | None, *said: str, key: ClientKey = ALICE, model: str = "m", window: int = 0, mode: Mode = Mode.ON
) -> Exchange:
    """The user's messages; between them the assistant says yes."""
    talk = [Turn(role, text) for one in said or (QUESTION,) for role, text in (("user", one), ("assistant", "Yes."))]
    turns = tuple(replace(turn, source=place) for place, turn in enumerate(talk[:-1]))
    ask = Ask(Endpoint.RESPONSES, model, b"{}", turns, search=tool)
    return Exchange("x1", ask, key=key, mode=mode, route=(Target("main", model, window),))


async def test_a_request_without_the_tool_passes_untouched(stage: FileSearchStage) -> None:
    exchange = asking(None)

    assert await stage(exchange) is exchange


async def test_what_is_found_goes_ahead_of_the_question_with_its_files(stage: FileSearchStage, store: str) -> None:
    done = await stage(asking(FileSearch((store,), limit=1)))

    assert done.searched == FileSearchResult((QUESTION,), (FileSource("leave.md", "leave.md", {"source": "leave.md"}),))
    assert [chunk.text for chunk in done.chunks] == [LEAVE[0]]
    assert done.sent[0].text.endswith(f"[1] leave.md\n{LEAVE[0]}\nsources q7>>>\n\n{QUESTION}")
    assert done.ask.turns[0].text == QUESTION
    assert (done.notes[0].decision, done.notes[0].reason) == ("retrieved", f"1 chunk of {store}")


async def test_a_note_holds_no_word_of_the_client(stage: FileSearchStage, store: str) -> None:
    done = await stage(asking(FileSearch((store,))))

    assert "paid leave" not in str(done.notes)


@pytest.mark.parametrize("mode", list(Mode))
async def test_it_is_sent_in_every_mode(stage: FileSearchStage, store: str, mode: Mode) -> None:
    done = await stage(asking(FileSearch((store,)), mode=mode, key=ClientKey("alice", mode=mode)))

    assert "<<<sources" in done.sent[0].text


async def test_several_stores_are_searched_and_each_chunk_is_used_once(
    stage: FileSearchStage, collections: Collections, store: str
) -> None:
    other = fill(collections, "alice", "copy", {"copy.md": [LEAVE[0], "Sick leave of fifteen days is paid too."]})

    done = await stage(asking(FileSearch((store, other), limit=50)))

    assert done.searched is not None
    assert len(done.chunks) == len(done.searched.sources) == len({chunk.text for chunk in done.chunks})
    assert {source.file for source in done.searched.sources} >= {"leave.md", "copy.md"}
    for chunk, source in zip(done.chunks, done.searched.sources, strict=True):
        assert chunk.source == source.name


async def test_filters_hold(stage: FileSearchStage, store: str) -> None:
    done = await stage(
        asking(FileSearch((store,), filters=AttributeComparison("source", "eq", "pay.md"), threshold=0.0))
    )

    assert [chunk.text for chunk in done.chunks] == PAY


async def test_a_question_about_something_else_gets_the_nearest_passages_unless_a_threshold_is_named(
    stage: FileSearchStage, store: str
) -> None:
    weather = "Will it rain in Oslo tomorrow?"

    all = await stage(asking(FileSearch((store,)), weather))
    nothing = await stage(asking(FileSearch((store,), threshold=0.5), weather))

    assert len(all.chunks) == 3
    assert nothing.searched == FileSearchResult((weather,), ())
    assert nothing.sent == nothing.ask.turns


async def test_small_talk_is_looked_up_only_if_the_client_insists(stage: FileSearchStage, store: str) -> None:
    left = await stage(asking(FileSearch((store,)), "Thanks a lot!"))
    forced = await stage(asking(FileSearch((store,), offered=False), "Thanks a lot!"))

    assert (left.notes[-1].decision, left.notes[-1].reason) == ("not called", "the message is small talk")
    assert forced.chunks


async def test_a_follow_up_is_looked_up_with_what_it_follows(stage: FileSearchStage, store: str) -> None:
    done = await stage(asking(FileSearch((store,), limit=1), QUESTION, "And who signs?"))

    assert done.searched is not None
    assert done.searched.queries == ("And who signs?", f"{QUESTION}\nAnd who signs?")
    assert [chunk.source for chunk in done.chunks] == ["leave.md"]


async def test_no_more_is_found_than_the_window_holds(stage: FileSearchStage, collections: Collections) -> None:
    long = {f"{one}.md": [f"leave {one} " + " ".join(f"w{one}x{place}" for place in range(120))] for one in range(9)}
    store = fill(collections, "alice", "long", long)
    tool = FileSearch((store,), limit=9, threshold=0.0)

    assert len((await stage(asking(tool, "leave"))).chunks) == 9
    assert 0 < len((await stage(asking(tool, "leave", window=1024))).chunks) < 6


async def test_a_choice_without_it_searches_nothing(stage: FileSearchStage, store: str) -> None:
    done = await stage(asking(FileSearch((store,), called=False)))

    assert (done.searched, done.chunks, done.turns) == (FileSearchResult(), (), None)
    assert done.notes[0].decision == "not called"


async def test_another_keys_store_is_as_unknown_as_one_that_never_was(
    stage: FileSearchStage, collections: Collections, store: str
) -> None:
    theirs = fill(collections, "bob", "theirs", {"a.md": LEAVE})
    refusals = []
    for ids in ((theirs,), ("vs_nonesuch",), (store, theirs)):
        with pytest.raises(NotFound) as refused:
            await stage(asking(FileSearch(ids, place=2)))
        assert refused.value.param == "tools[2].vector_store_ids"
        refusals.append(refused.value.message.replace(ids[-1], "it"))

    assert set(refusals) == {"No vector store found with id 'it'."}


async def test_stores_that_are_not_here_are_the_backends_if_it_searches(
    stage: FileSearchStage, collections: Collections, store: str
) -> None:
    theirs = fill(collections, "bob", "theirs", {"a.md": LEAVE})
    wrong = FileSearch(("vs_elsewhere", theirs), fault="Too many.", faulty="tools[0].max_num_results")

    done = await stage(asking(wrong, model="native"))

    assert (done.searched, done.turns) == (None, None)
    assert done.notes[0].decision == "passed on"
    with pytest.raises(NotFound, match="vs_elsewhere"):
        await stage(asking(FileSearch((store, "vs_elsewhere")), model="native"))


async def test_a_gateway_without_collections_has_no_store(retrieve: RetrieveStage) -> None:
    stage = FileSearchStage(retrieve, None, lambda target: target.model == "native")

    with pytest.raises(NotFound):
        await stage(asking(FileSearch(("vs_1",))))
    assert (await stage(asking(FileSearch(("vs_1",)), model="native"))).searched is None


async def test_what_is_wrong_with_it_is_told_before_anything_is_searched(stage: FileSearchStage, store: str) -> None:
    with pytest.raises(BadRequest) as refused:
        await stage(asking(FileSearch((store,), fault="Too many.", faulty="tools[0].max_num_results")))

    assert (refused.value.message, refused.value.param) == ("Too many.", "tools[0].max_num_results")
    with pytest.raises(BadRequest, match="not of both"):
        exchange = asking(FileSearch((store,)))
        ask = replace(exchange.ask, controls=Controls(collections=("handbook",)))
        await stage(replace(exchange, ask=ask))


async def test_until_the_embedder_is_there_the_client_is_asked_to_come_back(
    collections: Collections, store: str
) -> None:
    retrieve = RetrieveStage(Context(), words)

    with pytest.raises(NotReady, match="loading"):
        await FileSearchStage(retrieve, collections, lambda _: False)(asking(FileSearch((store,))))
