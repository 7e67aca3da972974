"""The encoding of a text is guessed from its letters, and the guess says how certain it is."""

import pytest

from gateway.context.reading.encodings import UnknownEncoding, decoded

FRENCH = "Le café où l'été dernier nous étions allés coûte très cher à Genève."
SPANISH = "El niño comió piña en la mañana y soñó después."
SWEDISH = "Räksmörgås på båten"
CZECH = "Zaměstnanci mají nárok na dovolenou."
POLISH = "Pracownicy mają prawo do urlopu wypoczynkowego każdego roku."
RUSSIAN = "Сотрудники имеют отпуск"
GREEK = "Οι εργαζόμενοι δικαιούνται άδεια."
JAPANESE = "社員は年に十五日の有給休暇を取得できます。"
KOREAN = "직원은 매년 15일의 유급 휴가를 받습니다."
TRADITIONAL = "員工每年享有十五天帶薪年假，須提前兩週申請。"
CASES = [
    *[(FRENCH, encoding) for encoding in ("cp1252", "iso8859-15", "mac_roman", "cp850")],
    *[(SPANISH, "cp1252"), (SWEDISH, "cp1252"), ("Déjà vu.", "cp1252"), ("Übergröße", "cp1252")],
    *[(CZECH, "cp1250"), (CZECH, "iso8859-2"), (POLISH, "cp1250"), (GREEK, "cp1253")],
    *[(RUSSIAN, encoding) for encoding in ("koi8_r", "cp1251", "iso8859-5", "cp866")],
    *[(JAPANESE, encoding) for encoding in ("cp932", "euc_jp", "iso2022_jp")],
    *[(KOREAN, "euc_kr"), (TRADITIONAL, "big5"), ("员工每年享有十五天带薪年假。", "gb18030")],
]


@pytest.mark.parametrize(("text", "encoding"), CASES)
def test_a_sentence_is_read_in_the_encoding_it_was_written_in(text: str, encoding: str) -> None:
    guess = decoded(text.encode(encoding))

    assert guess.text == text
    assert 0.5 <= guess.certainty < 1


def test_two_words_among_hundreds_of_ascii_lines_are_enough() -> None:
    table = "".join(f"{row},person{row},ok\n" for row in range(400)) + "401,山田太郎,休暇\n"

    assert decoded(table.encode("cp932")).text == table


def test_utf_8_with_one_bad_byte_is_utf_8_with_one_replacement() -> None:
    raw = ("Die Größe beträgt fünf Meter. " * 20).encode()
    damaged = raw[:100] + b"\xff" + raw[100:]

    guess = decoded(damaged)

    assert (guess.encoding, guess.replaced, guess.text.count("\ufffd")) == ("utf-8", 1, 1)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_read(encoding: str) -> None:
    assert decoded("Fifteen days of leave.".encode(encoding)).text == "Fifteen days of leave."


def test_utf_8_is_certain_and_binary_data_is_no_text() -> None:
    assert decoded("年假".encode()).certainty == 1
    with pytest.raises(UnknownEncoding):
        decoded(bytes(range(1, 256)) * 20)
    with pytest.raises(UnknownEncoding):
        decoded(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
