"""The names of languages in English and in Chinese."""

import re

# each entry: the English name, the Chinese name, and other words for the language
LANGUAGES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("English", "英文", ("英语",)),
    ("Chinese", "中文", ("汉语", "mandarin", "simplified chinese", "简体中文", "普通话")),
    ("Traditional Chinese", "繁体中文", ("繁体", "cantonese")),
    ("French", "法语", ("法文", "français")),
    ("German", "德语", ("德文", "deutsch")),
    ("Spanish", "西班牙语", ("西语", "西班牙文", "español")),
    ("Portuguese", "葡萄牙语", ("葡语", "葡萄牙文")),
    ("Italian", "意大利语", ("意语", "意大利文")),
    ("Japanese", "日语", ("日文",)),
    ("Korean", "韩语", ("韩文",)),
    ("Russian", "俄语", ("俄文",)),
    ("Arabic", "阿拉伯语", ("阿语", "阿拉伯文")),
    ("Dutch", "荷兰语", ()),
    ("Swedish", "瑞典语", ()),
    ("Polish", "波兰语", ()),
    ("Turkish", "土耳其语", ()),
    ("Greek", "希腊语", ()),
    ("Hindi", "印地语", ()),
    ("Vietnamese", "越南语", ("越语",)),
    ("Thai", "泰语", ("泰文",)),
    ("Latin", "拉丁语", ("拉丁文",)),
    ("Indonesian", "印尼语", ()),
    ("Ukrainian", "乌克兰语", ()),
    ("Czech", "捷克语", ()),
    ("Hebrew", "希伯来语", ()),
)

_BY_WORD = {word.lower(): (en, zh) for en, zh, others in LANGUAGES for word in (en, zh, *others)}
_WORDS = sorted(_BY_WORD, key=len, reverse=True)
# \b does not work here: in Chinese text, an English word stands between characters that count as letters
_LATIN, _OTHER = ([word for word in _WORDS if word.isascii() is latin] for latin in (True, False))
LANGUAGE_WORD = rf"(?:(?<![A-Za-z])(?:{'|'.join(_LATIN)})(?![A-Za-z])|{'|'.join(_OTHER)})"
_SHORT = {"中": "中文", "英": "英文", "日": "日语", "法": "法语", "德": "德语", "俄": "俄语", "韩": "韩语"}

_ANY = re.compile(LANGUAGE_WORD, re.IGNORECASE)
_TARGET = re.compile(rf"(?:\b(?:to|into|in)\s+|[成为作用到]\s*)(?P<word>{LANGUAGE_WORD})", re.IGNORECASE)
_PAIR = re.compile(rf"[{''.join(_SHORT)}]译(?P<word>[{''.join(_SHORT)}])")


def find_language(text: str, written_in: str) -> tuple[str, int, int] | None:
    """Return (name, start, end) for the language that the text names, or None. The returned name is in the language
    `written_in`.

    A name after *to*, *into*, *in*, *成* and the like has priority. Otherwise the last name in the text is used.
    """
    pair = _PAIR.search(text)
    if pair:
        return _name(_SHORT[pair["word"]], written_in), pair.start("word"), pair.end("word")
    targets = list(_TARGET.finditer(text))
    if targets:
        target = targets[-1]
        return _name(target["word"], written_in), target.start("word"), target.end("word")
    named = list(_ANY.finditer(text))
    return (_name(named[-1][0], written_in), *named[-1].span()) if named else None


def _name(word: str, written_in: str) -> str:
    en, zh = _BY_WORD[word.lower()]
    return zh if written_in == "zh" else en
