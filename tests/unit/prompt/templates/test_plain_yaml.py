"""YAML without its surprises: what is refused, in plain words, and how little it may cost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.prompt.templates.plain_yaml import MAX_NODES, NotPlain, read


def test_every_scalar_is_text_and_has_its_place() -> None:
    data, places = read("a: yes\nb:\n  - 012\n  - {c: 2026-01-01, d: ~}\n")
    assert data == {"a": "yes", "b": ["012", {"c": "2026-01-01", "d": "~"}]}
    assert places[("a",)] == (1, 1)
    assert places[("b", 1, "d")] == (4, 21)


@pytest.mark.parametrize(
    ("source", "what", "place"),
    [
        ("a: 1\n\tb: 2\n", "blanks, not with tabs", (2, 1)),
        ("a:\n\tb: 2\n", "blanks, not with tabs", (2, 1)),
        ("a: what: x\n", "goes in quotes", (1, 8)),
        ("a: @x\n", "starts with '@' goes in quotes", (1, 4)),
        ("a: [1, 2\nb: 3\n", "list in [...] is not closed", (2, 2)),
        ("a: 'x\n", "never closed", (2, 1)),
        ('a: "\\d+"\n', "a pattern goes in '...'", (1, 5)),
        ("- a\nb: c\n", "begin at the same column", (2, 1)),
        ("a: 1\na: 2\n", "'a' occurs twice", (2, 1)),
        ("a: 1\n---\nb: 2\n", "a second YAML document", (2, 1)),
        ("? [a]\n: b\n", "a key must be plain text", (1, 3)),
    ],
)
def test_a_pitfall_is_told_in_plain_words(source: str, what: str, place: tuple[int, int]) -> None:
    with pytest.raises(NotPlain) as caught:
        read(source)
    assert what in caught.value.what
    assert (caught.value.line, caught.value.column) == place


@pytest.mark.parametrize(
    "bomb",
    [
        "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n",
        "a: " + "[" * 100_000,
        "a: " + "{a: " * 100_000,
        "".join(" " * depth + "a:\n" for depth in range(3000)),
        "- " * 100_000 + "a",
        "a: [" + "x," * (MAX_NODES + 1) + "]",
        "a: !!python/object/apply:os.system ['true']",
        "a: !!binary aGVsbG8=",
        "!!set {a, b}",
        "<<: *a",
    ],
)
def test_a_bomb_is_refused_before_it_goes_off(bomb: str) -> None:
    with pytest.raises(NotPlain):
        read(bomb)


@given(st.text(alphabet="ab:-[]{}'\"\n #&*!|>%@?,\t0\\", max_size=200))
def test_any_text_is_read_or_refused(source: str) -> None:
    try:
        read(source)
    except NotPlain as error:
        assert error.line >= 1 and error.column >= 1
