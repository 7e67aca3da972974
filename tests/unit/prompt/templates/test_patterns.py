"""Patterns of templates: those that could take for ever are refused or given up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.prompt.templates.patterns import MAX_CHARS, NotBounded, Pattern


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "(a*)*", "((a+)b?)*c", "(?:a{1,9}){200}", "(.*)*x", "(a{1000}){1000}", r"^(([a-z])+.)+[A-Z]([a-z])+$"],
)
def test_a_repetition_within_a_repetition_is_refused(pattern: str) -> None:
    with pytest.raises(NotBounded, match="can run without end"):
        Pattern(pattern)


@pytest.mark.parametrize(
    "pattern", ["(", "[a", "a" * (MAX_CHARS + 1), "(" * 400 + "a" + ")" * 400, "a{99999999999}", "[[a]"]
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(NotBounded):
        Pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"\b\d{4,10}\b", "order 12345", "12345"),
        (r"(?s)[:：?？\n]\s*(\S.{3,})$", "sum: all of it", ": all of it"),
        (r"(?:\d{3}-){2}\d", "call 123-456-7", "123-456-7"),
        ("(?<=NO )\\w+", "no x", "x"),
    ],
)
def test_it_finds_what_re_finds(pattern: str, text: str, found: str) -> None:
    match = Pattern(pattern).search(text)
    assert match is not None and match[0] == found


def test_a_search_that_takes_too_long_finds_nothing() -> None:
    assert Pattern("(a|a|a)*$").search("a" * 60 + "!") is None
    assert Pattern(r"\w*\s*\w*\s*\w*\s*\w*\s*\w*\s*\w*!").search("a" * 50_000) is None
    assert list(Pattern("(a|a|a)*$").finditer("a" * 60 + "!")) == []


@given(st.text(alphabet="ab()[]{}|*+?.^$\\d,19:=!<>", max_size=30), st.text(alphabet="ab1!", max_size=200))
def test_any_pattern_is_refused_or_comes_to_an_end(pattern: str, text: str) -> None:
    try:
        Pattern(pattern).search(text)
    except NotBounded:
        return
