"""Reads a page with pdfium: words with their boxes, ruled lines, form values and notes.

All boxes are upright, even on a turned page: text runs from left to right, and lines follow each other from top to
bottom.
"""

import ctypes
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

MOST_OBJECTS = 20_000
"""The number of drawn objects on a page among which ruled lines are searched for. Further objects are ignored."""
MOST_SEGMENTS = 200
"""A drawn path with more segments than this is part of a picture, and has no ruled lines."""
THIN = 2.5
"""A filled box is a ruled line if its shorter side is at most this long, in points."""
FARTHEST = 1e6
"""Text with a coordinate of at least this many points is ignored."""
SHORTEST_RULE = 12.0


class PageWord(Struct, frozen=True):
    """A word and its box in points; `top` is less than `bottom`."""

    text: str
    left: float
    right: float
    top: float
    bottom: float
    bold: bool = False

    @property
    def height(self) -> float:
        return self.bottom - self.top


class Rule(Struct, frozen=True):
    """A ruled line. A horizontal rule is at the y position `at`, and reaches from the x position `first` to `last`. For
    a vertical rule, x and y are exchanged.
    """

    at: float
    first: float
    last: float


class PageContent(Struct, frozen=True):
    """The content of a page. `across` holds the horizontal rules, and `down` the vertical rules. `turned` holds the
    words whose direction differs from that of most words on the page.
    """

    words: list[PageWord] = []
    turned: list[PageWord] = []
    across: list[Rule] = []
    down: list[Rule] = []
    notes: list[str] = []
    pictures: int = 0
    unmapped: int = 0
    """The number of characters that their font does not map to Unicode."""


def page_content(page: Any, form: Any) -> PageContent:
    """Read a page. `page` is a `PdfPage` of pypdfium2. `form` is the form environment of the document, or None."""
    text = page.get_textpage()
    placed = [*_words(text.raw), *((0, word) for word in _form_values(page, form))]
    placed = [(turn, word) for turn, word in placed if _is_placed(word)]
    unmapped = sum(1 for _, word in placed for sign in word.text if sign == "\ufffd" or "\ue000" <= sign <= "\uf8ff")
    turns = Counter[int]()
    for turn, word in placed:
        turns[turn] += len(word.text)
    main = turns.most_common(1)[0][0] if turns else 0
    across, down, pictures = _drawn(page, main)
    return PageContent(
        [_upright(word, main) for turn, word in placed if turn == main],
        [_upright(word, turn) for turn, word in placed if turn != main],
        across,
        down,
        _notes(page),
        pictures,
        unmapped,
    )


def _words(text: Any) -> Iterator[tuple[int, PageWord]]:
    """Yield (turn, word) for each word, in pdfium's order. `turn` is the direction of the text in quarter turns. The
    boxes are in the coordinates of the page.
    """
    import pypdfium2.raw as pdfium

    count = pdfium.FPDFText_CountChars(text)
    signs = [pdfium.FPDFText_GetUnicode(text, index) for index in range(count)]
    first = 0
    for index in range(count + 1):
        if index < count and not _is_space(signs[index]):
            continue
        if first < index:
            yield from _word(text, signs, first, index)
        first = index + 1


def _is_placed(word: PageWord) -> bool:
    """Whether the box of the word is valid. The coordinates in a damaged file can have any value."""
    sides = (word.left, word.right, word.top, word.bottom)
    return all(math.isfinite(side) and abs(side) < FARTHEST for side in sides) and word.bottom > word.top


def _is_space(sign: int) -> bool:
    return (sign <= 32 and sign != 2) or sign == 0xA0 or chr(min(sign, 0x10FFFF)).isspace()


def _word(text: Any, signs: list[int], first: int, end: int) -> Iterator[tuple[int, PageWord]]:
    import pypdfium2.raw as pdfium

    first_box, last_box = _box(text, first), _box(text, end - 1)
    if end - first > 1 and _apart(first_box, last_box):
        # pdfium sometimes joins two lines without white space
        middle = (first + end) // 2
        yield from _word(text, signs, first, middle)
        yield from _word(text, signs, middle, end)
        return
    angle = pdfium.FPDFText_GetCharAngle(text, first)
    turn = round(math.degrees(max(angle, 0.0)) / 90) % 4
    # pdfium represents a hyphen at the end of a line as 2 or U+FFFE
    letters = "".join(chr(sign) if sign not in (2, 0xFFFE) else "\xad" for sign in signs[first:end] if sign)
    letters = letters.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    box = (
        min(first_box[0], last_box[0]),
        max(first_box[2], last_box[2]),
        min(first_box[3], last_box[3]),
        max(first_box[1], last_box[1]),
    )
    yield turn, PageWord(letters, box[0], box[1], box[2], box[3], _is_bold(text, first))


def _box(text: Any, index: int) -> tuple[float, float, float, float]:
    """Return the box of a character as (left, top, right, bottom). The origin is the lower left corner of the page."""
    import pypdfium2.raw as pdfium

    rect = pdfium.FS_RECTF()
    pdfium.FPDFText_GetLooseCharBox(text, index, rect)
    return rect.left, rect.top, rect.right, rect.bottom


def _apart(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    """Whether two boxes are neither in the same row nor in the same column."""
    rows = min(first[1], second[1]) > max(first[3], second[3])
    columns = min(first[2], second[2]) > max(first[0], second[0])
    return not rows and not columns


def _is_bold(text: Any, index: int) -> bool:
    import pypdfium2.raw as pdfium

    if pdfium.FPDFText_GetFontWeight(text, index) >= 600:
        return True
    name = ctypes.create_string_buffer(128)
    flags = ctypes.c_int()
    pdfium.FPDFText_GetFontInfo(text, index, name, 128, flags)
    return b"bold" in name.value.lower() or b"black" in name.value.lower()


def _upright(word: PageWord, turn: int) -> PageWord:
    """Convert the box of a word from the coordinates of the page to upright coordinates. Their origin is at the top of
    the page instead of the bottom.
    """
    left, right, low, high = word.left, word.right, word.top, word.bottom
    down, up = (-high, -low, -right, -left), (low, high, left, right)
    boxes = ((left, right, -high, -low), down, (-right, -left, low, high), up)
    return PageWord(word.text, *boxes[turn], word.bold)


def _drawn(page: Any, turn: int) -> tuple[list[Rule], list[Rule], int]:
    """Return the horizontal rules, the vertical rules, and the number of pictures."""
    import pypdfium2.raw as pdfium

    across: list[Rule] = []
    down: list[Rule] = []
    pictures = 0
    for number, item in enumerate(page.get_objects(max_depth=3)):
        if number >= MOST_OBJECTS:
            break
        if item.type == pdfium.FPDF_PAGEOBJ_IMAGE:
            pictures += 1
        elif item.type == pdfium.FPDF_PAGEOBJ_PATH:
            for box in _segments(item):
                word = _upright(PageWord("", *box), turn)
                if word.height <= THIN and word.right - word.left >= SHORTEST_RULE:
                    across.append(Rule((word.top + word.bottom) / 2, word.left, word.right))
                elif word.right - word.left <= THIN and word.height >= THIN:
                    down.append(Rule((word.left + word.right) / 2, word.top, word.bottom))
    return across, down, pictures


def _segments(item: Any) -> Iterator[tuple[float, float, float, float]]:
    """Yield the straight lines of a path, each as a box (left, right, low, high)."""
    import pypdfium2.raw as pdfium

    count = pdfium.FPDFPath_CountSegments(item.raw)
    if not 2 <= count <= MOST_SEGMENTS:
        return
    left, low, right, high = item.get_bounds()
    if min(right - left, high - low) <= THIN:
        yield left, right, low, high
        return
    matrix = item.get_matrix()
    before: tuple[float, float] | None = None
    first: tuple[float, float] | None = None
    for index in range(count):
        segment = pdfium.FPDFPath_GetPathSegment(item.raw, index)
        x, y = ctypes.c_float(), ctypes.c_float()
        pdfium.FPDFPathSegment_GetPoint(segment, x, y)
        point = matrix.on_point(x.value, y.value)
        kind = pdfium.FPDFPathSegment_GetType(segment)
        if kind == pdfium.FPDF_SEGMENT_MOVETO or first is None:
            first = point
        elif kind == pdfium.FPDF_SEGMENT_LINETO and before is not None:
            yield _between(before, point)
        if pdfium.FPDFPathSegment_GetClose(segment):
            yield _between(point, first)
        before = point


def _between(start: tuple[float, float], end: tuple[float, float]) -> tuple[float, float, float, float]:
    return min(start[0], end[0]), max(start[0], end[0]), min(start[1], end[1]), max(start[1], end[1])


def _annotations(page: Any) -> Iterator[Any]:
    import pypdfium2.raw as pdfium

    for index in range(pdfium.FPDFPage_GetAnnotCount(page.raw)):
        note = pdfium.FPDFPage_GetAnnot(page.raw, index)
        if note:
            try:
                yield note
            finally:
                pdfium.FPDFPage_CloseAnnot(note)


def _form_values(page: Any, form: Any) -> Iterator[PageWord]:
    """Yield the values of form fields. Each value has the box of its field."""
    import pypdfium2.raw as pdfium

    if form is None:
        return
    for note in _annotations(page):
        if pdfium.FPDFAnnot_GetSubtype(note) != pdfium.FPDF_ANNOT_WIDGET:
            continue
        kind = pdfium.FPDFAnnot_GetFormFieldType(form.raw, note)
        if kind in (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON):
            value = "[x]" if pdfium.FPDFAnnot_IsChecked(form.raw, note) else "[ ]"
        elif kind == pdfium.FPDF_FORMFIELD_PUSHBUTTON:
            continue
        else:
            value = _string(pdfium.FPDFAnnot_GetFormFieldValue, form.raw, note)
        rect = pdfium.FS_RECTF()
        if value.strip() and pdfium.FPDFAnnot_GetRect(note, rect):
            # a field's box is larger than its text
            low, high = min(rect.bottom, rect.top), max(rect.bottom, rect.top)
            middle, half = (low + high) / 2, min(6.0, (high - low) / 2)
            yield PageWord(" ".join(value.split()), rect.left, rect.right, middle - half, middle + half)


NOTE_KINDS = (1, 3)
"""The kinds of annotations that are read: notes, and text in a frame."""


def _notes(page: Any) -> list[str]:
    import pypdfium2.raw as pdfium

    notes = []
    for note in _annotations(page):
        if pdfium.FPDFAnnot_GetSubtype(note) in NOTE_KINDS:
            text = _string(pdfium.FPDFAnnot_GetStringValue, note, b"Contents")
            notes += [text.strip()] if text.strip() else []
    return notes


def _string(call: Any, *arguments: Any) -> str:
    """Return the text from a pdfium function that writes zero-terminated UTF-16 into a buffer."""
    import pypdfium2.raw as pdfium

    size = call(*arguments, None, 0)
    if size <= 2:
        return ""
    buffer = ctypes.create_string_buffer(size)
    call(*arguments, ctypes.cast(buffer, ctypes.POINTER(pdfium.FPDF_WCHAR)), size)
    return buffer.raw[: size - 2].decode("utf-16-le", "replace")
