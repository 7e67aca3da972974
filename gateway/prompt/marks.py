"""The pieces of a text that mean what they mean only word for word: links, numbers, quotations, code.

Pure regular expressions, each linear in the text. `guards.py` checks that they survive, `slots.py`
and `payload.py` fill slots from them.
"""

import re
from typing import NamedTuple


class Fence(NamedTuple):
    """A code block: all of it is [start, end), its code [body_start, body_end)."""

    start: int
    end: int
    body_start: int
    body_end: int


_FENCE_LINE = re.compile(r"^[ \t]{0,3}(```+|~~~+)([^\n`]*)$", re.MULTILINE)


def fences(text: str) -> list[Fence]:
    """The closed code blocks of a text. One pass; an opening fence without its end is plain text."""
    found: list[Fence] = []
    opened: re.Match[str] | None = None
    for line in _FENCE_LINE.finditer(text):
        if opened is None:
            opened = line
        elif line[1].startswith(opened[1]) and not line[2].strip():
            body_start = min(opened.end() + 1, line.start())
            found.append(Fence(opened.start(), line.end(), body_start, max(body_start, line.start() - 1)))
            opened = None
    return found


INLINE_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_STOPS = r"\s<>\"'`，。；、！？）】」』》"
URL = re.compile(rf"\b(?:https?|ftp)://[^{_STOPS}]*[^{_STOPS}.,;:!?)\]]", re.IGNORECASE)
EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@\w[\w-]*(?:\.[\w-]+)+", re.ASCII)

# 'single' only where it cannot be an apostrophe: a blank or the start before, no letter after.
QUOTED = re.compile(
    r'"([^"\n]+)"|“([^“”]+)”|‘([^‘’]+)’|«([^«»]+)»|「([^「」]+)」|『([^『』]+)』'
    r"|(?<![^\s(:：,，])'((?:[^'\n]|(?<=\w)'(?=\w))+)'(?!\w)"
)
TITLE = re.compile(r"《[^《》]+》|〈[^〈〉]+〉")

NUMBER = re.compile(r"[-+]?(?<![A-Za-z\d_.])[$€£¥]?\d+(?:[.,:/]\d+)*(?:\s?[%‰°]|(?:st|nd|rd|th)\b)?", re.ASCII)
HAN_NUMBER = re.compile(
    r"[零〇一二三四五六七八九十百千万亿两]+(?=[个条点句字段项步篇章行次天周月年岁元块人种词分秒小级倍页份题节])"
)
NUMBER_WORD = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|fifty|hundred|thousand|million"
    # "which one" is no number
    r"|one(?=[ -](?:sentence|paragraph|line|word|page|point|bullet|item|step|example)))\b",
    re.IGNORECASE,
)

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]*"
_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_NTH = r"\d{1,2}(?:st|nd|rd|th)?"
DATE = re.compile(
    r"\b\d{4}-\d{1,2}-\d{1,2}\b|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b"
    r"|\d{2,4}年(?:\d{1,2}月(?:\d{1,2}[日号])?)?|\d{1,2}月\d{1,2}[日号]"
    rf"|\b{_NTH}\s+{_MONTH}(?:\s+\d{{4}})?\b|\b{_MONTH}\.?\s+{_NTH}(?:,?\s+\d{{4}})?\b"
    rf"|\b(?:today|tonight|tomorrow|yesterday|(?:next|last|this)\s+(?:week|month|year|{_DAY})|{_DAY})\b"
    r"|今天|今晚|明天|后天|昨天|前天|[上下本这]个?(?:周|星期|月)[一二三四五六日天]?|明年|去年|今年",
    re.IGNORECASE,
)

_WORD = r"[A-Z][\w'’-]*"
_SUFFIX = r"py|js|ts|md|txt|json|csv|pdf|go|rs|c|h|java|sql|html|ya?ml|toml|sh"
# Capitalised words that do not start a sentence, words with capitals or digits inside, identifiers, paths.
NAME = re.compile(
    rf"(?<=[a-z0-9,;)\]'’\"”] )(?!I\b|I'|I’){_WORD}(?: (?:(?:of|de|van|von|la|the) )?{_WORD})*"
    r"|\b[A-Za-z]*[a-z][A-Z]\w*|\b[A-Z]{2,}\w*|\b[A-Za-z]+-?\d[\w.-]*\w|\b[A-Za-z]+\d\b|\b\w+_\w+"
    rf"|(?<![\w.~-])[\w.~-]*/[\w./-]*\w|\b\w+\.(?:{_SUFFIX})\b|[@#]\w+"
)
PLACEHOLDER = re.compile(
    r"\{\{[^{}\n]*\}\}|\{[A-Za-z_]\w*\}|<[A-Za-z/][^<>\n]*>|\[[A-Z][A-Z _]+\]|\$\{[^{}\n]*\}|%[sd]\b"
)

# With the words that follow, since a bare "not" would be found in almost any template.
NEGATION = re.compile(
    r"\b(?:not|never|no|none|without|except|excluding|avoid|ignore|omit|skip|cannot|nor|neither|\w{1,9}n['’]t)\b"
    r"(?:[ \t]+[\w'’-]+){0,2}"
    r"|(?:不要|不用|不能|不得|不可|不准|不许|不必|不需|别|勿|没有|没|无需|无|除了|避免|禁止|不)[\u4e00-\u9fff\w]{0,3}",
    re.IGNORECASE,
)
CONSTRAINT = re.compile(
    r"\b(?:only|must|exactly|precisely|at (?:most|least)|(?:more|less|fewer) than|up to|under|within|between|"
    r"in the style of|as if|instead of|rather than|include|including|mention|use|using|keep|"
    r"(?:start|end)(?:ing)? with|format(?:ted)? as|in (?:json|csv|xml|yaml|markdown|html|a table|bullet)|"
    r"for (?:an? )?(?:child|children|kids?|beginners?|experts?|layman)|make it|tone)\b(?:[ \t]+[\w'’-]+){0,3}"
    r"|(?:必须|务必|只|仅|最多|至少|不超过|以内|之内|包括|包含|保留|保持|使用|采用|格式|风格|语气|口吻|面向)[\u4e00-\u9fff\w]{0,4}",
    re.IGNORECASE,
)

_ITEM = r"[\w'’&-][\w'’ &-]{0,39}"
_LIST = rf"{_ITEM}(?:[,，、;/|][ \t\n]{{0,2}}(?:or |and )?{_ITEM})+"
_EITHER = r"[\w-]+(?: [\w-]+)? or [\w-]+(?: [\w-]+)?"
# What the user offers to choose from.
OPTIONS = (
    re.compile(
        r"\b(?:one of|labels?|categories|classes|options|choices|intents)\b[^:：\n(]{0,30}[:：(]\s{0,3}"
        rf"(?P<list>{_LIST})",
        re.IGNORECASE,
    ),
    re.compile(rf"\bone of (?:these )?(?P<list>{_LIST})", re.IGNORECASE),
    re.compile(rf"[(\[（【](?P<list>{_LIST})[)\]）】]"),
    re.compile(
        rf"\b(?:as|into|is it|either|whether (?:it|this) is)\b[ :]*(?P<list>{_LIST}|{_EITHER})(?=[\s.:?!\0]|$)",
        re.IGNORECASE,
    ),
    re.compile(
        r"(?:分为|归为|分成|归类为|标签|类别|属于)[:：是为]?\s?(?P<list>\w{1,12}(?:[、,，/|还是或和]{1,2}\w{1,12})+)"
        r"|是(?P<either>\w{1,8}(?:[、,，]\w{1,8})*还是\w{1,8})"
    ),
)


def find_options(text: str) -> re.Match[str] | None:
    """The first list of choices that the text offers; its group is the list."""
    return next((found for found in (pattern.search(text[:4000]) for pattern in OPTIONS) if found), None)
