import pytest

from gateway.wire.json_fields import whole


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("007", 7), ("999999999", 999_999_999), ("", None), ("-1", None), ("1.0", None), ("\u00b2", None)],
)
def test_a_number_is_read_or_it_is_none(text: str, number: int | None) -> None:
    assert whole(text) == number


def test_a_number_of_thousands_of_digits_is_none() -> None:
    assert whole("1" * 5000) is None
