import struct
import zlib

from gateway.prompt.classifier.confusion import Mistake, confusion

WANTED = ["card", "card", "card", "loan", "", ""]
GOT = ["card", "card", "loan", "loan", "", "card"]


def test_mistakes_are_counted_and_the_weakest_intents_come_first() -> None:
    found = confusion(WANTED, GOT)
    assert found.mistakes() == [Mistake("(none)", "card", 1), Mistake("card", "loan", 1)]
    assert [name for name, _, _ in found.weakest()] == ["(none)", "card", "loan"]
    assert "1  card -> loan" in found.text()


def test_the_picture_is_a_png_whose_diagonal_is_blue_and_mistakes_red() -> None:
    picture = confusion(WANTED, GOT).png()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", picture[16:24])
    assert width == height == 3 * 24
    start = picture.index(b"IDAT")
    (length,) = struct.unpack(">I", picture[start - 4 : start])
    pixels = zlib.decompress(picture[start + 4 : start + 4 + length])

    def at(row: int, column: int) -> tuple[int, ...]:
        place = row * 24 * (1 + 3 * width) + 1 + column * 24 * 3
        return tuple(pixels[place : place + 3])

    assert at(2, 2) == (0, 0, 255)  # all of loan
    assert at(1, 2)[0] == 255 > at(1, 2)[1]  # a card taken for a loan
    assert at(2, 0) == (255, 255, 255)  # never
