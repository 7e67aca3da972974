import pytest

from gateway.context.store.words import terms_of, words_of


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("on the nineteenth of June 2025", "2025-06-19"),
        ("19 June 2025", "19.06.2025"),
        ("19 June 2025", "06/19/2025"),
        ("19 June 2025", "19 juin 2025"),
        ("19 June 2025", "2025-06-19T07:15:00"),
        ("third quarter", "Q3"),
        ("2nd quarter", "2. Quartal"),
        ("1.5k", "1,500"),
        ("12500 dollars", "$12,500"),
        ("12500 euros", "12.500 €"),
        ("50 percent", "50%"),
        ("seventeen", "17"),
        ("twenty-first", "21st"),
        ("customer 471", "customer 00471"),
        ("upload piece", "uploadPiece(file)"),
        ("lost ticket", "lost_ticket"),
    ],
)
def test_a_question_finds_what_is_written_in_another_form(asked: str, text: str) -> None:
    assert set(terms_of(asked)) <= set(words_of(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("192.168.100.200", ["192", "168", "100", "200"]),
        ("version 2.10.3", ["version", "2", "10", "3"]),
        ("03/04/2025", ["3", "4", "2025"]),
        ("2025-13-45", ["2025", "13", "45"]),
        ("the first one", ["the", "first", "one"]),
        ("McDonald", ["mcdonald"]),
        ("0", ["0"]),
    ],
)
def test_what_may_mean_something_else_stays(text: str, words: list[str]) -> None:
    assert words_of(text) == words
