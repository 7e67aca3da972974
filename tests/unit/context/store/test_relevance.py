"""Whether a collection says anything about a question."""

import pytest
from msgspec.structs import replace

from gateway.context.store.lexical import Likeness
from gateway.context.store.relevance import SearchSigns, Tuning, adds_to, relevance, signs_of
from gateway.context.store.words import words_of

TUNING = Tuning(0.2, 0.7, 100)
OWN = SearchSigns(0.7, 0.3, 0.6, 6, spaceless=False)
FOREIGN = SearchSigns(0.2, 0.06, 0.1, 6, spaceless=False)


def test_an_own_question_is_told_from_a_foreign_one() -> None:
    assert relevance(OWN, TUNING) > 0.9
    assert relevance(FOREIGN, TUNING) < 0.1


@pytest.mark.parametrize("field", ["cosine", "share", "cover", "words"])
def test_more_of_a_sign_never_lowers_the_relevance(field: str) -> None:
    values = [relevance(replace(FOREIGN, **{field: value}), TUNING) for value in (0, 0.1, 0.3, 0.9, 5, 500)]

    assert values == sorted(values)


def test_a_long_message_about_something_else_does_not_become_relevant_by_its_length() -> None:
    assert relevance(replace(FOREIGN, words=2000), TUNING) < 0.3


def test_the_cosine_counts_from_what_is_usual_in_the_collection() -> None:
    near_to_everything = Tuning(0.65, 0.7, 100)

    assert relevance(OWN, near_to_everything) < relevance(OWN, TUNING)


def test_without_vectors_the_words_decide() -> None:
    assert relevance(replace(OWN, cosine=None), TUNING) > 0.5
    assert relevance(replace(FOREIGN, cosine=None), TUNING) < 0.1


def test_in_scripts_without_spaces_pairs_of_characters_decide() -> None:
    own, foreign = SearchSigns(0.73, 0.28, 0.55, 10, spaceless=True), SearchSigns(0.78, 0.06, 0.07, 10, spaceless=True)

    assert relevance(own, TUNING) > 0.5 > relevance(foreign, TUNING)


def test_a_question_of_stop_words_alone_is_about_nothing() -> None:
    signs = signs_of("What is it?", 0.9, 0.9, Likeness({"what": 1.0}), [("", "", "what is it")])

    assert signs.words == 0
    assert relevance(signs, TUNING) == 0.0


def test_a_follow_up_must_add_something_that_the_best_chunks_have() -> None:
    likeness = Likeness({word: 1.0 for word in words_of("inflation bank balance")})
    best = [("", "", "Inflation is high.")]

    assert adds_to(likeness, "inflation", best)
    assert adds_to(Likeness({word: 1.0 for word in words_of("inflation")}), "And inflation?", best)
    assert not adds_to(Likeness({word: 1.0 for word in words_of("bank balance")}), "My bank balance?", best)
    assert adds_to(Likeness({}), "Why is that?", best), "it says nothing new"


def test_the_label_and_the_heading_of_a_chunk_cover_words_too() -> None:
    acme, notice, zebra = words_of("Acme notice zebra")
    likeness = Likeness({acme: 2.0, notice: 1.0, zebra: 1.0})

    signs = signs_of("notice of Acme zebra", 0.5, 0.2, likeness, [("acme", "Notice", "Six weeks."), ("", "", "zebra")])

    assert signs.cover == pytest.approx(0.75)


def test_among_many_chunks_a_question_needs_more_signs_than_among_few() -> None:
    doubtful = SearchSigns(0.45, 0.1, 0.38, 3, spaceless=False)
    few, many = Tuning(0.2, 0.7, 6), Tuning(0.2, 0.7, 600)
    assert relevance(doubtful, many) < 0.5 <= relevance(doubtful, few)
    assert relevance(OWN, many) > 0.9
