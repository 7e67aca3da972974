"""Decodes bytes to text. A byte order mark or the bytes themselves show the encoding. Otherwise the encoding is guessed
from letter frequencies.

`chardet` compares letter frequencies, and confuses alphabets in short texts. Therefore `chardet` only chooses among the
encodings of one family. This module decides on the family by escapes, by valid pairs of bytes, and by the positions of
letters in words.
"""

import codecs
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

from msgspec import Struct

SAMPLE_BYTES = 16_384
"""A guess is based on this many bytes, which are taken from lines with letters beyond ASCII."""
CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
CONTROL_SHARE = 0.02
"""The maximum share of control characters in the first bytes of a text. Binary data have a larger share."""

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, since the mark of UTF-16 is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
ESCAPES = (
    (re.compile(rb"\x1b\$\)C"), "iso2022_kr"),
    (re.compile(rb"\x1b\$(?:[@B]|\([DOPQ])|\x1b\(I"), "iso2022_jp_3"),
    (re.compile(rb"~\{[\x21-\x7e]{2,400}~\}"), "hz"),
)
LATIN = ("cp1252", "cp1250", "cp1254", "cp1257", "iso8859-2", "iso8859-15", "cp1258")
LATIN_OLD = ("mac-roman", "cp850", "cp852", "cp437")
"""Encodings that have letters at the codes of Windows' quotation marks and control characters."""
OTHER = (
    *("cp1251", "koi8-r", "koi8-u", "iso8859-5", "cp866", "mac-cyrillic", "cp1253", "iso8859-7", "cp1255", "cp1256"),
    *("iso8859-6", "cp874"),
)
PAIRED = ("gb18030", "cp932", "euc_jp", "big5", "cp949")
COMMON = {"gb18030": ("gb2312", 0xB0, 0xD7), "big5": ("big5", 0xA4, 0xC6), "cp949": ("euc_kr", 0xB0, 0xC8)}
"""For each encoding of byte pairs: a codec, and a range of first bytes. In this codec, common characters begin with a
byte of the range.
"""
COMMON_JAPANESE = ("euc_jp", 0xB0, 0xCF)
PREFERRED = 2.0
"""Another Latin encoding must be this many times as likely as Windows-1252, the encoding of most Western texts."""
MARGIN = 64
"""From a long line, the sample also takes this many bytes before the first byte beyond ASCII."""
FEW_BAD = 50
"""UTF-8 may contain one invalid sequence, and one more for each group of this many valid sequences."""


class DecodedText(Struct, frozen=True):
    """A text, its encoding, and the certainty of the encoding from 0 to 1. `replaced` is the number of sequences that
    could not be decoded.
    """

    text: str
    encoding: str
    certainty: float = 1.0
    replaced: int = 0


class UnknownEncoding(ValueError):
    """The bytes are not text."""


def decoded(raw: bytes) -> DecodedText:
    """Decode bytes. Raises `UnknownEncoding` for binary data."""
    for mark, encoding in BYTE_ORDER_MARKS:
        if raw.startswith(mark):
            return _replacing(raw, encoding)
    if b"\0" in raw[:SAMPLE_BYTES]:
        return _replacing(raw, _wide(raw[:SAMPLE_BYTES]))
    for escape, encoding in ESCAPES:
        if escape.search(raw, 0, SAMPLE_BYTES) and (text := _strict(raw, encoding)) is not None:
            return DecodedText(text, encoding, 0.95)
    return _utf8(raw) or _guessed(raw)


def _replacing(raw: bytes, encoding: str) -> DecodedText:
    text = raw.decode(encoding, "replace")
    return DecodedText(text, encoding.removesuffix("-sig"), replaced=text.count("\ufffd"))


def _strict(raw: bytes, encoding: str) -> str | None:
    try:
        return raw.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _wide(sample: bytes) -> str:
    """Recognise UTF-16 without a byte order mark, by the zero bytes of ASCII characters. Raises `UnknownEncoding`."""
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    if max(even, odd) > 0.5 * half and min(even, odd) < 0.01 * half:
        encoding = "utf-16-be" if even > odd else "utf-16-le"
        if (text := _strict(sample[: half * 2], encoding)) is not None and "\0" not in text:
            return encoding
    raise UnknownEncoding


def _utf8(raw: bytes) -> DecodedText | None:
    text = _strict(raw, "utf-8")
    if text is not None:
        return DecodedText(text, "utf-8")
    text = raw.decode("utf-8", "replace")
    replaced = text.count("\ufffd")
    beyond = sum(len(run) for run in re.findall(r"[^\x00-\x7f\ufffd]+", text))
    return DecodedText(text, "utf-8", 0.9, replaced) if beyond and replaced <= 1 + beyond // FEW_BAD else None


def _guessed(raw: bytes) -> DecodedText:
    if len(CONTROLS.findall(raw, 0, SAMPLE_BYTES)) > CONTROL_SHARE * len(raw[:SAMPLE_BYTES]):
        raise UnknownEncoding
    sample = _sample(raw)
    encoding, certainty = _latin(sample) if _looks_latin(sample) else _other(sample)
    text = raw.decode(encoding, "replace")
    return DecodedText(text, encoding, min(round(certainty, 2), 0.99), text.count("\ufffd"))


def _sample(raw: bytes) -> bytes:
    """Return the lines with bytes beyond ASCII. Only these help to guess."""
    lines, size = [], 0
    for line in raw[: 64 * SAMPLE_BYTES].splitlines():
        if line.isascii():
            continue
        first = next(place for place, byte in enumerate(line) if byte > 127)
        lines.append(line[max(0, first - MARGIN) : first + SAMPLE_BYTES])
        size += len(lines[-1])
        if size > SAMPLE_BYTES:
            break
    return b"\n".join(lines)


def _other(sample: bytes) -> tuple[str, float]:
    """Return the most likely encoding of a text that is not Latin, and its certainty.

    An East Asian encoding is possible only if the bytes are valid in it and most characters are common.
    """
    common = {encoding: _commonness(sample, encoding) for encoding in PAIRED}
    paired = {encoding: share**2 for encoding, share in common.items() if share > 0.6}
    return _likely(sample, [*paired, *OTHER], paired)


def _commonness(sample: bytes, encoding: str) -> float:
    """Return how common the characters beyond ASCII are, on average. Returns 0 if the bytes are invalid in this
    encoding.
    """
    text = _strict(sample, encoding)
    if text is None:
        # the last character of the sample may be cut
        text = _strict(sample[:-1], encoding)
    wide = [sign for sign in text or "" if sign > "\x7f"]
    if not wide:
        return 0.0
    japanese = encoding in ("cp932", "euc_jp")
    codec, first, last = COMMON_JAPANESE if japanese else COMMON[encoding]
    worth = sum(_worth(sign, codec, first, last, japanese) for sign in wide)
    return worth / len(wide)


def _worth(sign: str, codec: str, first: int, last: int, japanese: bool) -> float:
    if "\u3041" <= sign <= "\u30fe":
        return 2.5 if japanese else 0.4
    if "\u3000" <= sign <= "\u303f" or "\uff01" <= sign <= "\uff5e":
        return 0.9
    pair = sign.encode(codec, "ignore")
    return 1.0 if len(pair) == 2 and first <= pair[0] <= last else 0.0


def _latin(sample: bytes) -> tuple[str, float]:
    plausible = [encoding for encoding in LATIN if _plausible(sample, encoding)]
    if "cp1252" in plausible and b"\xa4" in sample and b"\x80" not in sample and _strict(sample, "iso8859-15"):
        return "iso8859-15", 0.6
    if plausible:
        return _likely(sample, plausible, {"cp1252": PREFERRED})
    old = [encoding for encoding in LATIN_OLD if _plausible(sample, encoding)]
    return _likely(sample, old or LATIN + LATIN_OLD, {"cp850": PREFERRED})


def _looks_latin(sample: bytes) -> bool:
    """Whether the sample is in Latin script. Most letters are then ASCII, and other letters stand alone or in pairs
    among them.

    In a Latin encoding, a byte that could begin a pair is rarely followed by a valid second byte.
    """
    runs = re.findall(rb"[\x80-\xff]+", sample)
    long = sum(len(run) for run in runs if len(run) > 2)
    letters = len(re.findall(rb"[A-Za-z]", sample))
    beyond = sum(len(run) for run in runs)
    if long * 2 > beyond or letters < beyond:
        return False
    # in Shift JIS, the second byte of a kanji can be an ASCII character
    return not (_commonness(sample, "cp932") > 0.8 and re.search(rb"[\x81-\x9f][A-Za-z@\[-`{-~]", sample))


WORD = re.compile(r"[^\W\d_]+")
SIGNS = "¢-©«-´¶-¹»-¿×÷†‡‰ˆ˜•¨„“”‘‹›™"
INSIDE = re.compile(rf"(?<=[^\W\d_])[{SIGNS}](?=[^\W\d_])|[¢-§©¬-´¶-¹¼-¾×÷†‡‰ˆ˜•¨](?=[^\W\d_])|(?<=[^\W\d_])[¿¡„]")
"""Matches signs at implausible places: within a word, closing signs before a word, and opening signs after a word."""


def _plausible(sample: bytes, encoding: str) -> bool:
    """Whether the text is plausible in this encoding. In a plausible text, signs hardly ever stand within words. A
    capital hardly ever follows a small letter if one of the two is beyond ASCII.
    """
    text = _strict(sample, encoding)
    if text is None:
        return False
    beyond = sum(sign > "\x7f" for sign in text)
    odd = sum(1 for _ in INSIDE.finditer(text)) + sum("\x80" <= sign <= "\x9f" for sign in text)
    for word in WORD.findall(text):
        odd += sum(
            first.islower() and second.isupper() and (first > "\x7f" or second > "\x7f")
            for first, second in pairwise(word)
        )
    return odd * 8 <= beyond


def _likely(sample: bytes, encodings: Sequence[str], weights: Mapping[str, float]) -> tuple[str, float]:
    """Return the most likely encoding, and its certainty. A rival that is nearly as likely lowers the certainty."""
    from chardet import detect_all

    odds: dict[str, float] = {}
    names = [name.replace("_", "-") for name in encodings]
    for row in detect_all(sample, ignore_threshold=True, include_encodings=names, no_match_encoding=names[0]):
        name = codecs.lookup(row["encoding"] or names[0]).name
        odds[name] = max(odds.get(name, 0.0), row["confidence"] * weights.get(name, 1.0))
    readable = [name for name in odds if _strict(sample, name) is not None] or list(odds)
    ranked = sorted(readable, key=lambda name: -odds[name])
    best = ranked[0]
    text = sample.decode(best, "replace")
    others = [odds[name] for name in ranked[1:] if sample.decode(name, "replace") != text]
    return best, odds[best] / ((odds[best] + others[0]) or 1.0) if others else 0.9
