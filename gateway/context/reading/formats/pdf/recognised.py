"""Lays out recognised words as the words of a page, so that columns and tables are found as on other pages."""

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from gateway.context.reading.formats.pdf.layout import Block, blocks
from gateway.context.reading.formats.pdf.words import PageContent, PageWord
from gateway.context.reading.recognition import PictureWord, Recogniser

DOTS_PER_POINT = 300 / 72
MOST_PIXELS = 20_000_000
"""A page of A4 at 300 dots per inch has nine million. Larger pages are drawn more coarsely."""
USUAL_HEIGHT = 10.0
"""The height in points that the lines of a picture get, whose own scale is unknown."""
HIGHER = 1.6
"""Lines up to this multiple of the median height get the median: ascenders make heights of boxes differ."""


def recognised_page(page: Any, recogniser: Recogniser) -> list[Block]:
    """Draw a page of pypdfium2 and recognise its text. Raises `NotRecognised`."""
    width, height = page.get_size()
    scale = min(DOTS_PER_POINT, math.sqrt(MOST_PIXELS / max(1.0, width * height)))
    bitmap = page.render(scale=scale, grayscale=True)
    try:
        rows, columns, stride = bitmap.height, bitmap.width, bitmap.stride
        pixels = memoryview(bitmap.buffer)
        lines = [bytes(pixels[row * stride : row * stride + columns]) for row in range(rows)]
    finally:
        bitmap.close()
    words = recogniser.words(b"P5 %d %d 255\n" % (columns, rows) + b"".join(lines))
    return laid_out(words, scale)


def recognised_picture(picture: bytes, recogniser: Recogniser) -> list[Block]:
    """Recognise the text of a picture file. Raises `NotRecognised`."""
    words = recogniser.words(picture)
    return laid_out(words, _usual(words) / USUAL_HEIGHT)


def laid_out(words: Sequence[PictureWord], scale: float) -> list[Block]:
    """scale: pixels per point"""
    usual = _usual(words)
    content = []
    for word in words:
        top = word.bottom - usual if word.bottom - word.top < HIGHER * usual else word.top
        left, right, top, bottom = (side / scale for side in (word.left, word.right, top, word.bottom))
        content.append(PageWord(word.text, left, right, top, bottom))
    return blocks(PageContent(content))


def _usual(words: Sequence[PictureWord]) -> float:
    heights = {word.line: word.bottom - word.top for word in words}
    return median(heights.values()) if heights else 1.0
