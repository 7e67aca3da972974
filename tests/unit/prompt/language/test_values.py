"""What the words of a slot mean, in English and Chinese."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.prompt.language.values import date_of, find_dates, items_of, number_of


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("5", "5"), ("1,234.50", "1234.5"), ("1.234,5", "1234.5"), ("1'000", "1000"), ("1 000 000", "1000000"),
        ("1,5", "1.5"), ("-3", "-3"), ("$20", "20"), ("20 %", "20"), ("3rd", "3"), ("２０", "20"), ("five", "5"),
        ("twenty-five", "25"), ("two hundred and five", "205"), ("2.5 million", "2500000"), ("三百二十", "320"),
        ("十五", "15"), ("两百", "200"), ("一百〇五", "105"), ("二〇二六", "2026"), ("3万", "30000"),
        ("一亿", "100000000"),
        ("10:30", None), ("1.2.3", None), ("many", None), ("", None),
    ],
)  # fmt: skip
def test_a_number_is_digits_alone(words: str, value: str | None) -> None:
    assert number_of(words) == value


@settings(max_examples=100)
@given(st.integers(-(10**12), 10**12))
def test_a_number_with_separators_is_itself(number: int) -> None:
    assert number_of(f"{number:,}") == str(number)
    assert number_of(str(number)) == str(number)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("12 May 2026", "2026-05-12"), ("May 5th", "05-05"), ("the 3rd", None), ("3rd of June", "06-03"),
        ("2026-5-1", "2026-05-01"), ("5.6.2026", "2026-06-05"), ("三月五日", "03-05"), ("2026年3月5日", "2026-03-05"),
        ("二〇二六年三月", "2026-03"), ("十二月二十五日", "12-25"), ("2026年", "2026"), ("tomorrow", "tomorrow"),
        ("下周三", "下周三"), ("1/2/2026", "1/2/2026"), ("31 February", None), ("hello", None), ("May", None),
    ],
)  # fmt: skip
def test_a_date_is_iso_and_nothing_is_guessed(words: str, value: str | None) -> None:
    assert date_of(words) == value


def test_dates_are_found_first_to_last_and_do_not_overlap() -> None:
    low = "from 12 may 2026, or tomorrow; 三月五日前"
    assert [low[start:end] for start, end in find_dates(low)] == ["12 may 2026", "tomorrow", "三月五日"]


@pytest.mark.parametrize(
    ("words", "items"),
    [
        ("a, b and c", ("a", "b", "c")),
        ("spam or ham", ("spam", "ham")),
        ("苹果、香蕉和梨", ("苹果", "香蕉", "梨")),
        ("体育、财经还是娱乐", ("体育", "财经", "娱乐")),
        ("和平", ("和平",)),
        ("- x\n- y", ("x", "y")),
        ("1. one\n2. two", ("one", "two")),
        ("sandwiches", ("sandwiches",)),
        (" , ", ()),
    ],
)
def test_a_list_is_its_items(words: str, items: tuple[str, ...]) -> None:
    assert items_of(words) == items


@settings(max_examples=200)
@given(st.text(max_size=60))
def test_any_text_can_be_read_as_anything(text: str) -> None:
    for read in (number_of, date_of):
        assert read(text) != ""
    assert all(item.strip() for item in items_of(text))
