"""The wordings of limits in prompts, in English and in Chinese. `stated_checks` checks answers against them."""

import re
from collections.abc import Iterator
from typing import NamedTuple

OUTER = " \t\r\n.。!！\"“”'‘’「」*`"
"""Characters around an answer or a quotation that are not part of it."""
_UP_TO_TWELVE = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_WORDS = {word: number for number, word in enumerate(_UP_TO_TWELVE, 1)}
_WORDS |= {"fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "a single": 1}
_HAN = dict(zip("一二三四五六七八九十", range(1, 11), strict=True)) | {"两": 2}


class StatedLimit(NamedTuple):
    """One limit on an answer. `most` is -1 if there is no upper limit."""

    kind: str
    least: int = 0
    most: int = -1
    text: str = ""
    options: tuple[str, ...] = ()


def limits_of(instruction: str) -> Iterator[StatedLimit]:
    """Yield each limit in an instruction, in no particular order."""
    for kind, bound, pattern in _NUMBERS:
        for match in pattern.finditer(instruction):
            least, most = _bounds(bound, _number(match[1]))
            yield StatedLimit(kind, least, most)
    for kind, pattern in _TEXTS:
        for match in pattern.finditer(instruction):
            yield StatedLimit(kind, text=match[1].strip())
    for kind, pattern in _FLAGS:
        if pattern.search(instruction):
            yield StatedLimit(kind)
    for language, pattern in _LANGUAGES:
        if pattern.search(instruction):
            yield StatedLimit("language", text=language)
    for pattern in _OPTIONS:
        for match in pattern.finditer(instruction):
            options = tuple(dict.fromkeys(_options(match[1])))
            if len(options) > 1:
                yield StatedLimit("options", options=options)


def _bounds(bound: str, number: int) -> tuple[int, int]:
    return {"most": (0, number), "under": (0, number - 1), "least": (number, -1), "exact": (number, number)}[bound]


def _number(word: str) -> int:
    return int(word) if word.isdigit() else _WORDS.get(word.lower(), _HAN.get(word, 0))


def _options(text: str) -> list[str]:
    quoted = re.findall(_QUOTED, text)
    parts = quoted or re.split(r"\s*,\s*(?:or\s+|and\s+)?|\s+or\s+|、|，|或者?|和", text)
    return [part.strip(OUTER) for part in parts if part.strip(OUTER)]


def _limit(*pieces: str) -> re.Pattern[str]:
    return re.compile("".join(pieces), re.I)


_N = rf"(\d{{1,4}}|{'|'.join(sorted(_WORDS, key=len, reverse=True))})"
_ZN = r"(\d{1,4}|[一二两三四五六七八九十])"
_Q = r"[\"“”'‘’「」『』]"
_QUOTED = rf"{_Q}([^\"“”「」『』\n]{{1,60}}?){_Q}"
_THE = r"(?:the (?:word|words|phrase|line|letter|number) )?"
_UP_TO = r"(?:at most|no more than|not more than|a maximum of|up to|max(?:imum)?\.?|within)"
_FROM = r"(?:at least|no fewer than|no less than|a minimum of|minimum)"
_JUST = r"(?:exactly |just |only )?"
_NUMBERS = (
    ("words", "most", _limit(rf"\b{_UP_TO} {_N} words?\b")),
    ("words", "most", _limit(rf"\b{_N} words? (?:or (?:less|fewer)|max(?:imum)?|at most)\b")),
    ("words", "under", _limit(rf"\b(?:fewer than|less than|under|below) {_N} words?\b")),
    ("words", "least", _limit(rf"\b{_FROM} {_N} words?\b")),
    ("words", "exact", _limit(rf"\b(?:exactly|in just|with just|only|just) {_N} words?\b")),
    ("words", "exact", _limit(r"\b(?:with|in|reply|answer) (one|a single) word\b")),
    ("sentences", "most", _limit(rf"\b(?:{_UP_TO}|not? longer than) {_N} sentences?\b")),
    ("sentences", "exact", _limit(rf"\b(?:in|exactly|with|of|only|just) {_JUST}{_N}(?: \w+)? sentences?\b")),
    ("items", "exact", _limit(rf"\b{_N} (?:\w+ )?(?:bullet points|bullets)\b")),
    ("numbered", "exact", _limit(rf"\bnumbered list of {_JUST}{_N}\b")),
    ("characters", "most", _limit(rf"(?:不超过|不多于|最多|至多|限){_ZN}个?字")),
    ("characters", "most", _limit(rf"{_ZN}个?字(?:以内|之内|以下|内)")),
    ("characters", "least", _limit(rf"(?:至少|不少于|不低于){_ZN}个?字")),
    ("sentences", "exact", _limit(rf"(?:用|只用|写成?|压缩成){_ZN}句(?:话|中文)?")),
    ("sentences", "most", _limit(rf"(?:不超过|最多){_ZN}句")),
    ("items", "exact", _limit(rf"(?:列出|分成|用|给出){_ZN}(?:条|个要点|点)")),
)
_TEXTS = (
    ("starts", _limit(rf"\b(?:start|begin)(?:s|ning)? (?:\w+ ){{0,3}}with {_THE}{_QUOTED}")),
    ("ends", _limit(rf"\b(?:end|finish)(?:s|ing)? (?:\w+ ){{0,3}}with {_THE}{_QUOTED}")),
    ("lacks", _limit(rf"\b(?:do not|don't|never) (?:use|write|mention|say|include) {_THE}{_QUOTED}")),
    ("lacks", _limit(rf"\bwithout (?:using |mentioning |saying )?{_THE}{_QUOTED}")),
    ("contains", _limit(rf"(?<!not )(?<!n't )(?<!never )\b(?:include|use|contain) the (?:word|phrase) {_QUOTED}")),
    ("starts", _limit(rf"(?:以|用){_QUOTED}(?:二字|一词)?(?:开头|开始)")),
    ("ends", _limit(rf"以{_QUOTED}(?:二字|一词)?(?:结尾|结束)")),
    ("lacks", _limit(rf"(?:不要|不得|不能|别)(?:出现|使用|用|提到|写){_QUOTED}")),
    ("contains", _limit(rf"(?<!不)(?:必须|要|需)(?:包含|出现|用到){_QUOTED}")),
)
_FLAGS = (
    (
        "json",
        _limit(r"\b(?:only|as|valid|in|raw) json\b|\bjson only\b", r"|(?:只|仅)(?:输出|返回|给出)\s*json|以\s*json"),
    ),
    ("number", _limit(r"\bonly (?:with )?(?:the|a) (?:\w+ )?number\b", r"|\bjust the number\b")),
    ("number", _limit(r"(?:只|仅)(?:回答|写|输出|给出|需)(?:一个)?数字")),
    ("lower", _limit(r"\b(?:all|only|in|in all) lower ?-?case\b")),
    ("upper", _limit(r"\b(?:all|only|in|in all) (?:upper ?-?case|capitals|capital letters)\b|\ball caps\b")),
    ("no comma", _limit(r"\b(?:no|without(?: any)?|do not use(?: any)?|don't use(?: any)?) commas?\b")),
    ("no comma", _limit(r"不要(?:使用|用)逗号")),
    ("one line", _limit(r"\b(?:on|in) (?:one|a single) line\b|(?:写|放)在一行")),
)
_LANGUAGES = (
    ("en", _limit(r"\b(?:answer|reply|respond|write)(?: \w+){0,3} in english\b|用英文(?:回答|回复|写)")),
    ("zh", _limit(r"\b(?:answer|reply|respond|write)(?: \w+){0,3} in chinese\b|用中文(?:回答|回复|写)")),
)
_SAY = r"(?:answer|reply|respond|output|say|write)"
_ONE = rf"(?:{_QUOTED}|(?:not )?[\w-]+)".replace("([^", "(?:[^")
_LIST = rf"({_ONE}(?:(?:\s*,\s*(?:or\s+|and\s+)?|\s+or\s+){_ONE}){{1,11}})(?=[.;:\n]|$)"
_ZONE = rf"(?:{_QUOTED}|[^\s，、。；“”]{{1,8}}?)".replace("([^", "(?:[^")
_ZLIST = rf"({_ZONE}(?:(?:、|，|或者?){_ZONE}){{1,11}})(?=[。.；;，]|$|\s|即可|就行)"
_OPTIONS = (
    _limit(rf"\b{_SAY}(?: with)? (?:only|just)(?: with)?(?: one of)?:? {_LIST}"),
    _limit(rf"\bonly {_SAY}(?: with)?(?: one of)?:? {_LIST}"),
    _limit(r"\b(?:answer|reply|respond)(?: with)?:? (yes or no|true or false)\b"),
    _limit(rf"(?:只|仅)(?:回答|输出|写|答|需回答|能回答|用){_ZLIST}"),
    _limit(rf"回答{_Q}?(是或否|对或错){_Q}?"),
)
