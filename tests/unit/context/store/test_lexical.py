import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.context.store import lexical
from gateway.context.store.catalog import Catalog
from gateway.context.store.collections import Collections
from gateway.context.store.stored_documents import Documents
from gateway.context.store.words import terms_of, words_of
from gateway.exchange import Chunk


@pytest.fixture
def documents(collections: Collections) -> Documents:
    return collections.documents(collections.catalog.create("", "handbook"))


def put(documents: Documents, *texts: str, source: str = "a") -> int:
    document = documents.stage(source, "")
    documents.put(document, [Chunk(str(place), "c", source, text) for place, text in enumerate(texts)])
    documents.go_live(document)
    return document


def found(documents: Documents, query: str, among: list[int] | None = None) -> list[str]:
    keys = [key for key, _ in documents.by_words(query, 10, among)]
    chunks = documents.chunks(keys)
    return [chunks[key][0].text for key in keys]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The reports were reported, reporting.", ["the", "report", "were", "report", "report"]),
        ("员工年假", ["员工", "工年", "年假"]),
        ("GPT-4的年假 x", ["gpt", "4", "的年", "年假", "x"]),
        ("Ｆｕｌｌ café naïve ﬁnal", ["full", "cafe", "naiv", "final"]),
        ("stories story  classes class", ["story", "story", "class", "class"]),
        ('\'; DROP TABLE "words" --', ["drop", "tabl", "word"]),
        ("", []),
    ],
)
def test_words_are_stems_and_pairs_of_chinese_characters(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_words_of_questions_do_not_count_unless_there_are_no_others() -> None:
    assert terms_of("What is the leave?") == ["leav"]
    assert terms_of("What is it?") == ["what", "is", "it"]


def test_the_rarer_word_decides_even_in_a_collection_of_three(documents: Documents) -> None:
    put(documents, "Leave and pay.", "Leave and travel.", "Leave, meals and travel.")

    assert found(documents, "meals on leave")[0] == "Leave, meals and travel."
    assert found(documents, "zebra") == []


def test_chinese_is_found_by_parts_of_its_words(documents: Documents) -> None:
    put(documents, "员工每年享有十五天带薪年假。", "差旅费用须在一个月内报销。")

    assert found(documents, "年假有几天？")[0] == "员工每年享有十五天带薪年假。"


def test_a_score_is_a_share_of_what_the_query_could_have(documents: Documents) -> None:
    put(documents, "zebra zebra zebra zebra zebra zebra", "lion", "tiger")

    ((_, whole),) = documents.by_words("zebra", 5, None)
    ((_, part),) = documents.by_words("zebra unheard unknown", 5, None)

    assert 0.5 < whole <= 1.0
    assert part < 0.4


def test_only_live_documents_are_found_and_only_the_wanted(documents: Documents) -> None:
    old = put(documents, "Fifteen days.")
    pay = put(documents, "Days of pay.", source="b")
    staged = documents.stage("a", "")
    documents.put(staged, [Chunk("x", "c", "a", "Twenty days.")])

    assert sorted(found(documents, "days")) == ["Days of pay.", "Fifteen days."]
    assert found(documents, "days", [pay]) == ["Days of pay."]

    documents.go_live(staged)
    documents.clear([old])

    assert sorted(found(documents, "days")) == ["Days of pay.", "Twenty days."]


def test_a_text_outside_scores_as_it_would_inside(documents: Documents) -> None:
    texts = [f"word{number} leave days of an employee" for number in range(20)]
    put(documents, *texts)
    ((_, inside),) = documents.by_words("word3", 1, None)

    with documents.catalog.reading() as database:
        like = lexical.likeness(database, documents.collection, "word3")

    assert like.shares([texts[3]], average=6) == [pytest.approx(inside, rel=1e-6)]
    assert like.shares(texts[:5])[3] == pytest.approx(inside, rel=0.1), "the texts' own average"


def test_a_common_words_count_is_remembered_until_the_collection_changes(documents: Documents) -> None:
    put(documents, *["Leave."] * lexical.COMMON)
    documents.by_words("leave", 1, None)
    word = documents.collection, "leav"
    assert documents.catalog.common_words == {word: (lexical.COMMON, lexical.COMMON)}

    put(documents, "Leave and pay.", source="b")

    assert found(documents, "leave and pay")[0] == "Leave and pay."
    assert documents.catalog.common_words == {word: (lexical.COMMON + 1, lexical.COMMON + 1)}


def test_counts_of_common_words_are_kept_until_a_twentieth_has_changed(
    documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lexical, "COMMON", 20)
    monkeypatch.setattr(lexical, "COUNTED", 40)
    put(documents, *["Leave."] * 39)
    documents.count_words()
    assert kept(documents) == {}, "in a small collection they are read each time"

    put(documents, "Leave and pay.", source="b")
    before = documents.by_words("leave and pay", 60, None)
    documents.count_words()
    assert kept(documents) == {"": 40, "a": 39, "leav": 40}
    assert documents.by_words("leave and pay", 60, None) == before

    put(documents, "Pay.", "Holidays.", source="c")
    documents.count_words()
    assert kept(documents) == {"": 40, "a": 39, "leav": 40}
    put(documents, "Pay again.", source="d")
    documents.count_words()
    assert kept(documents) == {"": 43, "a": 39, "leav": 40}


def test_a_removed_documents_words_are_in_no_count(documents: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexical, "COMMON", 1)
    monkeypatch.setattr(lexical, "COUNTED", 1)
    put(documents, "Leave.")
    documents.count_words()
    assert "leav" in kept(documents)

    documents.clear([row.key for row in documents.live()])
    documents.catalog.scrub(documents.collection)

    assert kept(documents) == {}


def kept(documents: Documents) -> dict[str, int]:
    with documents.catalog.reading() as database:
        rows = f"SELECT term, chunks FROM counts_{documents.collection} WHERE term NOT LIKE ':%'"
        return dict(database.execute(rows).fetchall())


def test_a_short_text_weighs_more_than_a_long_one(documents: Documents) -> None:
    put(documents, "leave " + "about other things " * 300, "leave about other things", "nothing")

    assert [len(text) < 100 for text in found(documents, "leave")] == [True, False]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[sqlite3.Connection, str]]:
    catalog = Catalog(tmp_path_factory.mktemp("catalog") / "catalog.sqlite3")
    id = catalog.create("", "any")
    with catalog.reading() as database:
        yield database, id


@given(text=st.text(max_size=80), query=st.text(max_size=40))
def test_any_text_can_be_indexed_searched_and_taken_out(
    shared: tuple[sqlite3.Connection, str], text: str, query: str
) -> None:
    database, id = shared

    lexical.add(database, id, [(1, text)])
    lexical.nearest(database, id, query, 5)
    lexical.remove(database, id, [(1, text)])

    for term in terms_of(text):
        assert database.execute(f"SELECT doc FROM rarity_{id} WHERE term = ?", (term,)).fetchone() is None


def test_chinese_question_words_make_no_words_of_a_query() -> None:
    assert terms_of("罗保铭本科毕业于哪所大学？") == terms_of("罗保铭本科毕业于 大学")
    assert "么职" not in terms_of("他担任什么职务？")
    assert "哪吒" in terms_of("哪吒是谁？")
    assert terms_of("什么？") == words_of("什么？"), "nothing else is left"
