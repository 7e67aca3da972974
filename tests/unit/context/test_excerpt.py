"""What is taken of passages where not all of them fit."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.ask import Ask, ClientKey, Controls, Endpoint, Turn
from gateway.context.excerpt import Shares, excerpts
from gateway.context.pack import SourceBudget
from gateway.context.retrieve import RetrieveStage
from gateway.context.store.collections import Collections
from gateway.context.store.words import words_of
from gateway.exchange import Chunk, Exchange, Target
from gateway.ports import Vectors
from gateway.settings.context import Context
from tests.doubles.bag_embedder import BagEmbedder
from tests.doubles.collections import fill

FILLER = "The committee met again and spoke of other things until late in the evening, as it often does. "


def passage(source: str, start: int, score: float, text: str) -> Chunk:
    tokens = len(text.split())
    return Chunk(f"{source}{start}", "c", source, text, start, start + len(text), tokens=tokens, score=score)


def holding(*wanted: str) -> Shares:
    """As `Shares`: the share of the wanted words that a text holds."""

    def shares(_collection: str, texts: Sequence[str]) -> list[float]:
        return [sum(word in words_of(text) for word in wanted) / len(wanted) for text in texts]

    return shares


def test_of_a_passage_that_does_not_fit_the_sentences_with_the_querys_words_are_taken() -> None:
    text = FILLER * 6 + "A fee of nine crowns is due. " + FILLER * 6
    chunk = passage("a", 1000, 0.9, text.strip())

    (taken,) = excerpts([chunk], SourceBudget(64, 1000), holding("fee", "crown"))

    assert "A fee of nine crowns is due." in taken.text
    assert taken.tokens <= 64
    assert (taken.id, taken.score) == (chunk.id, chunk.score)


def test_what_is_taken_is_a_span_of_the_document() -> None:
    text = FILLER * 4 + "A fee is due.\n\nAnd a second fee. " + FILLER * 4
    chunk = passage("a", 500, 0.9, text.strip())
    document = " " * 500 + chunk.text

    for taken in excerpts([chunk], SourceBudget(60, 1000), holding("fee")):
        assert taken.text == document[taken.start : taken.end]
        assert taken.text in chunk.text


def test_more_passages_are_heard_than_would_fit_whole() -> None:
    texts = [f"{FILLER * 4}Rule {number} sets a fee. {FILLER * 4}".strip() for number in range(6)]
    chunks = [passage(f"{number}.md", 0, 0.9 - number / 100, text) for number, text in enumerate(texts)]
    budget = SourceBudget(3 * chunks[0].tokens, 10_000)

    taken = excerpts(chunks, budget, holding("fee"))

    assert sum("sets a fee" in chunk.text for chunk in taken) > 3
    assert sum(chunk.tokens for chunk in taken) <= budget.tokens


def test_a_sentence_stays_whole_however_long_it_is() -> None:
    long = " ".join(["word"] * 150) + " fee."
    chunk = passage("a", 0, 0.9, f"{long} {FILLER}".strip())

    assert [taken.text for taken in excerpts([chunk], SourceBudget(152, 1000), holding("fee"))] == [long]


@given(
    texts=st.lists(st.text("ab .\n。", max_size=300), min_size=1, max_size=6),
    tokens=st.integers(0, 200),
    room=st.integers(0, 400),
)
def test_whatever_the_passages_hold_the_excerpts_are_theirs_and_within_the_budget(
    texts: list[str], tokens: int, room: int
) -> None:
    chunks = [
        replace(passage("a", place * 1000, place / 10, text), tokens=len(text)) for place, text in enumerate(texts)
    ]

    taken = excerpts(chunks, SourceBudget(tokens, room), holding("a"))

    whole = {chunk.id: chunk for chunk in chunks}
    for chunk in taken:
        first = chunk.start - whole[chunk.id].start
        assert chunk.text == whole[chunk.id].text[first : first + chunk.end - chunk.start]
    assert SourceBudget(tokens, room).holds(sum(chunk.tokens for chunk in taken), len(taken)) or not taken


async def test_a_small_budget_is_filled_with_the_sentences_that_answer(collections: Collections) -> None:
    def text_of(number: int) -> str:
        filler = " ".join(f"They spoke of thing{number}x{place} until late in the evening." for place in range(8))
        return f"{filler} The annual fee is {number} crowns. {filler}"

    fill(collections, "", "rules", {f"{number}.md": [text_of(number)] for number in range(4)})

    async def embed(texts: Sequence[str]) -> Vectors:
        return BagEmbedder().embed(texts)

    stage = RetrieveStage(
        Context(relevance=0.0), lambda _, text: len(text.split()), embed=embed, collections=collections
    )
    controls = Controls(collections=("rules",), budget_tokens=150)
    ask = Ask(Endpoint.CHAT, "m", b"{}", (Turn("user", "How much is the annual fee?"),), controls=controls)

    done = await stage(Exchange("x1", ask, key=ClientKey.ANONYMOUS, route=(Target("main", "m", 0),)))

    assert sum(chunk.tokens for chunk in done.chunks) <= 150
    assert len(done.chunks) >= 2, "each of which has more than a hundred words"
    assert all("annual fee is" in chunk.text for chunk in done.chunks)
