"""Gives numbers, dates and units one form, in texts and in questions: "nineteenth of June" and "2025-06-19", "Q3" and
"third quarter", "1,500" and "1.5k", "$" and "USD".

A question and a text often write the same number differently. Words are lower case and have no accents here.
"""

import re

NUMBER = re.compile(
    r"(?<![\w.,])(?:"
    r"(?P<iso>\d{4}-\d\d-\d\d(?:t(?=\d)|(?!\d)))"
    r"|(?P<dotted>\d{1,2}\.\d{1,2}\.\d{4}\b)"
    r"|(?P<slashed>\d{1,2}/\d{1,2}/\d{4}\b)"
    r"|(?P<grouped>\d{1,3}(?:(?:,\d{3})+(?![\d,])|(?:\.\d{3}){1,2}(?![\d.])|(?:'\d{3})+(?!\d)))"
    r"|(?P<thousands>\d{1,9}(?:\.\d{1,9})?k\b))"
)
"""Dates and numbers that are more than one word. One expression finds all of them, since each pass takes time."""
HAS_NUMBER = re.compile(r"\d[-./,'k]")
QUARTER = re.compile(
    r"\b(?:(?:(1|first|1st|erste[sn]?)|(2|second|2nd|zweite[sn]?)|(3|third|3rd|dritte[sn]?)|(4|fourth|4th|vierte[sn]?))"
    r"\.?[ -](?:quarter|quartal)|(?:quarter|quartal) ([1-4]))\b"
)
SYMBOLS = {"€": " euro ", "$": " dollar ", "£": " pound ", "¥": " yen ", "%": " percent "}
HAS_SYMBOL = re.compile("[€$£¥%]")
ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)")

MONTHS = (
    "january jan januar janner janvier enero janeiro gennaio",
    "february feb februar fevrier febrero fevereiro febbraio",
    "march marz mars marzo marco",
    "april apr avril abril aprile",
    "may mai mayo maio maggio",
    "june jun juni juin junio junho giugno",
    "july jul juli juillet julio julho luglio",
    "august aug aout agosto",
    "september sep sept septembre septiembre setembro settembre",
    "october oct oktober okt octobre octubre outubro ottobre",
    "november nov novembre noviembre novembro",
    "december dec dezember dez decembre diciembre dezembro dicembre",
)
UNITS = (
    "- one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety"
ORDINALS = (
    "- first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)
COMMON_WORDS = frozenset(("-", "one", "first", "second"))
"""Words that mostly mean something else than a number. They stay as they are."""


def _numbers() -> dict[str, str]:
    named = {word: str(value) for value, word in enumerate(UNITS.split())}
    named |= {word: str(10 * value) for value, word in enumerate(TENS.split())}
    named |= {word: str(value) for value, word in enumerate(ORDINALS.split())}
    return {word: digits for word, digits in named.items() if word != "-"}


NUMBERS = _numbers()
TENS_AND_UNITS = re.compile(
    rf"\b({'|'.join(TENS.split()[2:])})[- ]({'|'.join(UNITS.split()[1:10])}|"
    rf"{'|'.join(ORDINALS.split()[1:10])})\b"
)
FORMS = {
    **{word: digits for word, digits in NUMBERS.items() if word not in COMMON_WORDS},
    **{word: names.split()[0] for names in MONTHS for word in names.split()},
    "eur": "euro",
    "usd": "dollar",
    "gbp": "pound",
    "jpy": "yen",
    "prozent": "percent",
}
"""The form of each word that has another one."""


def normal(text: str) -> str:
    """Rewrite the numbers, dates and units in a text of lower case that are more than one word."""
    if HAS_SYMBOL.search(text):
        for symbol, word in SYMBOLS.items():
            text = text.replace(symbol, word)
    if "ty" in text:
        text = TENS_AND_UNITS.sub(lambda m: str(int(NUMBERS[m[1]]) + int(NUMBERS[m[2]])), text)
    if "quart" in text:
        text = QUARTER.sub(_quarter, text)
    return NUMBER.sub(_number, text) if HAS_NUMBER.search(text) else text


def _number(match: re.Match[str]) -> str:
    whole = match[0]
    match match.lastgroup:
        case "iso":
            year, month, day = re.findall(r"\d+", whole)
            return _date(whole, year, month, day)
        case "dotted":
            day, month, year = whole.split(".")
            return _date(whole, year, month, day)
        case "slashed":
            return _slashed(whole)
        case "thousands":
            return f"{float(whole[:-1]) * 1000:.0f}"
        case _:
            return re.sub(r"\D", "", whole)


def form_of(word: str) -> str:
    """Return the form of a word under which it is indexed, before it is stemmed."""
    if word[0].isdigit():
        ordinal = ORDINAL.fullmatch(word)
        return (ordinal[1] if ordinal else word).lstrip("0") or "0"
    return FORMS.get(word, word)


def _quarter(match: re.Match[str]) -> str:
    # each of the first four groups stands for a quarter, and the last one is its number
    return f"q{match[5] or match.lastindex}"


def _slashed(whole: str) -> str:
    """A date with slashes has the month or the day first. If both numbers may be a month, it stays as it is."""
    first, second, year = whole.split("/")
    if int(first) > 12:
        return _date(whole, year, second, first)
    return _date(whole, year, first, second) if int(second) > 12 else whole


def _date(whole: str, year: str, month: str, day: str) -> str:
    if not 1 <= int(month) <= len(MONTHS) or not 1 <= int(day) <= 31:
        return whole
    return f" {day} {MONTHS[int(month) - 1].split()[0]} {year} "
