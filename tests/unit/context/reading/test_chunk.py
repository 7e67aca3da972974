from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.context.embedding.sentence import SentenceEmbedder
from gateway.context.reading.chunk import Cut, chunk, chunk_id, within
from gateway.context.reading.document import Document, Heading
from gateway.context.reading.formats.markdown import markdown_headings
from gateway.context.reading.text_spans import CHARACTERS_A_TOKEN
from gateway.context.store.index_text import indexed
from gateway.exchange import Chunk

CHINESE = "员工每年享有十五天带薪年假，须提前两周申请。" * 40


def words(text: str) -> int:
    return len(text.split())


def cut(document: Document, limit: int = 20, window: int = 256) -> list[Chunk]:
    return chunk(document, "handbook", "leave.md", words, Cut(limit), window)


def markdown(text: str) -> Document:
    return Document(text, tuple(markdown_headings(text)))


def test_a_section_is_a_chunk_with_its_heading_path() -> None:
    text = "Preface.\n\n# Leave\n\n## Annual\n\nFifteen days.\n\n## Sick\n\nCall early.\n\n# Pay\n\nMonthly.\n"

    chunks = cut(markdown(text))

    assert [(piece.heading, piece.text) for piece in chunks] == [
        ("", "Preface."),
        ("Leave > Annual", "# Leave\n\n## Annual\n\nFifteen days."),
        ("Leave > Sick", "## Sick\n\nCall early."),
        ("Pay", "# Pay\n\nMonthly."),
    ]
    assert indexed("", chunks[2].heading, chunks[2].text) == "Leave > Sick\n## Sick\n\nCall early."


def test_long_texts_are_cut_between_paragraphs_and_then_between_sentences() -> None:
    long = "One two three. Four five. Six seven eight nine. Ten eleven twelve."

    assert [piece.text for piece in cut(Document(f"Short one.\n\nShort two.\n\n{long}"), limit=8)] == [
        "Short one.\n\nShort two.",
        "One two three. Four five.",
        "Six seven eight nine.",
        "Ten eleven twelve.",
    ]


def test_a_paragraph_within_the_limit_stays_whole_and_only_shorter_ones_are_joined() -> None:
    whole = "One two three four five six seven eight."

    assert [piece.text for piece in cut(Document(f"{whole}\n\nNine.\n\nTen."), limit=8)] == [whole, "Nine.\n\nTen."]
    assert len(chunk(Document("One two.\n\nThree four."), "c", "s", words, Cut(4, strict=True), 64)) == 1


def test_chinese_is_cut_between_sentences(minilm: SentenceEmbedder) -> None:
    chunks = chunk(Document(CHINESE), "c", "s", minilm.count_tokens, Cut(200), minilm.window_tokens)

    assert len(chunks) > 3
    assert all(piece.text.endswith("。") for piece in chunks)
    assert "".join(piece.text for piece in chunks) == CHINESE


def test_a_chunk_knows_its_page() -> None:
    text = "First page.\n\nSecond page, words.\n\nThird."
    document = Document(text, pages=(0, text.index("Second"), text.index("Third")))

    assert [(piece.page, piece.text) for piece in cut(document, limit=3)] == [
        (1, "First page."),
        (2, "Second page, words."),
        (3, "Third."),
    ]


def test_what_a_tokenizer_calls_one_unknown_token_is_cut_all_the_same(minilm: SentenceEmbedder) -> None:
    blob = "QmFzZTY0" * 3000
    assert minilm.count_tokens(blob) == 1

    chunks = chunk(Document(blob), "c", "s", minilm.count_tokens, Cut(200), 256)

    assert max(len(piece.text) for piece in chunks) <= 200 * CHARACTERS_A_TOKEN
    assert "".join(piece.text for piece in chunks) == blob


def test_an_overlap_repeats_the_end_of_the_chunk_before() -> None:
    text = " ".join(f"Sentence number {number} is here." for number in range(30))

    chunks = chunk(Document(text), "c", "s", words, Cut(20, overlap=10, strict=True), 256)

    assert all(piece.tokens <= 20 for piece in chunks)
    assert (chunks[0].start, chunks[-1].end) == (0, len(text))
    for before, after in pairwise(chunks):
        assert before.start < after.start < before.end < after.end
        assert words(text[after.start : before.end]) <= 10


def test_a_strict_cut_may_be_longer_than_the_embedder_reads_which_then_reads_it_in_parts() -> None:
    text = "One two three four five. " * 40

    (piece,) = chunk(Document(text), "c", "s", words, Cut(800, strict=True), 64)
    parts = within(piece.text, words, 64)

    assert piece.tokens == 200
    assert [words(part) for part in parts] == [60, 60, 60, 20]
    assert within("short", words, 64) == ["short"]


def test_a_very_long_heading_leaves_room_for_the_text() -> None:
    document = Document("Text of it.", (Heading(0, 1, "word " * 500), Heading(0, 2, "Nearest")))

    (piece,) = cut(document)

    assert (piece.heading, piece.text) == ("Nearest", "Text of it.")


def test_ids_depend_on_everything_that_makes_a_chunk_another() -> None:
    first = chunk_id("c", "s", 0, 4, "text")

    assert first == chunk_id("c", "s", 0, 4, "text")
    others = [("d", "s", 0, 4, "text"), ("c", "t", 0, 4, "text"), ("c", "s", 1, 4, "text"), ("c", "s", 0, 4, "Text")]
    assert len({first, *(chunk_id(*other) for other in others)}) == 5


@pytest.mark.parametrize("text", ["", " \n\n\t ", "#\n", "# \n\n#\n"])
def test_nothing_gives_no_more_than_its_marks(text: str) -> None:
    assert "".join(piece.text for piece in cut(markdown(text))).strip("# \n") == ""


TEXTS = st.lists(
    st.one_of(
        st.text(max_size=60),
        st.sampled_from(["\n\n", "\n", "# Heading\n", "## 标题\n", "。", ". ", "年假" * 30, "word " * 50, "x" * 400]),
    ),
    max_size=25,
).map("".join)


@settings(max_examples=60)
@given(text=TEXTS, limit=st.integers(4, 200))
def test_chunks_are_spans_in_order_that_lose_nothing_and_fit_the_embedder(
    minilm: SentenceEmbedder, text: str, limit: int
) -> None:
    embedder = minilm
    document = markdown(text)

    chunks = chunk(document, "c", "s", embedder.count_tokens, Cut(limit), embedder.window_tokens)

    assert [piece.text for piece in chunks] == [text[piece.start : piece.end] for piece in chunks]
    ends = [0, *(piece.end for piece in chunks)]
    starts = [*(piece.start for piece in chunks), len(text)]
    assert all(text[end:start].strip() == "" for end, start in zip(ends, starts, strict=True))
    for piece in chunks:
        assert piece.tokens <= limit or len(piece.text) == 1
        assert embedder.count_tokens(indexed("", piece.heading, piece.text)) + 2 <= embedder.window_tokens
    assert len({piece.id for piece in chunks}) == len(chunks)
