"""The benchmark's verifiers: for each kind of instruction one answer that follows it and one that does not."""

from typing import Any

import pytest

from benchmarks.harness.ifeval import KINDS, Prompt


@pytest.mark.parametrize(
    ("kind", "given", "follows", "fails"),
    [
        (
            "change_case:capital_word_frequency",
            {"capital_relation": "at least", "capital_frequency": 2},
            "A BIG one",
            "A",
        ),
        ("change_case:english_capital", {}, "ALL LOUD, 1", "All loud"),
        ("change_case:english_lowercase", {}, "all quiet", "All quiet"),
        ("combination:repeat_prompt", {"prompt_to_repeat": "Say it. "}, "say it.\nIt.", "It."),
        ("combination:two_responses", {}, "one\n******\ntwo", "one\n******\none"),
        ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name] and [place]", "[name]"),
        ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "Bye.\nP.P.S. more", "Bye.\nP.S. more"),
        ("detectable_format:constrained_response", {}, "My answer is no.", "No."),
        ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "{a: 1}"),
        (
            "detectable_format:multiple_sections",
            {"section_spliter": "SECTION", "num_sections": 2},
            "SECTION 1\na\nSECTION 2\nb",
            "SECTION 1\na",
        ),
        ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n- b", "* a\n* b\n* c"),
        ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* and **b**", "*a* and b"),
        ("detectable_format:title", {}, "<<Songs>>\ntext", "<< >>"),
        ("keywords:existence", {"keywords": ["river", "Boat"]}, "A boat on a river", "A boat"),
        ("keywords:forbidden_words", {"forbidden_words": ["cat"]}, "A category", "A Cat"),
        ("keywords:frequency", {"keyword": "dose", "relation": "at least", "frequency": 2}, "Dose, dose", "a dose"),
        (
            "keywords:letter_frequency",
            {"letter": "T", "let_relation": "less than", "let_frequency": 2},
            "a tea",
            "too tall",
        ),
        (
            "length_constraints:nth_paragraph_first_word",
            {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "boats"},
            "One.\n\nBoats sail.",
            "Boats sail.\n\nTwo.",
        ),
        ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "one\n***\ntwo", "one\n***\ntwo\n***\nthree"),
        (
            "length_constraints:number_sentences",
            {"relation": "less than", "num_sentences": 3},
            "One. Two!",
            "One. Two! Three?",
        ),
        ("length_constraints:number_words", {"relation": "at least", "num_words": 3}, "it's three words", "two words"),
        ("punctuation:no_comma", {}, "no commas", "one, two"),
        ("startend:end_checker", {"end_phrase": "That is all."}, 'So. that is all."', "That is all. Bye"),
        ("startend:quotation", {}, '"all of it"', 'half "of it"'),
    ],
)
def test_a_kind_of_instruction(kind: str, given: dict[str, Any], follows: str, fails: str) -> None:
    assert KINDS[kind](follows, given)
    assert not KINDS[kind](fails, given)


def test_an_empty_answer_follows_nothing() -> None:
    prompt = Prompt("Write.", (("punctuation:no_comma", {}), ("change_case:english_lowercase", {})))

    assert prompt.followed(" \n") == 0
    assert prompt.followed("small") == 2
