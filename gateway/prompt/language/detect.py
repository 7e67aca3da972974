"""Detects the language of a prompt: English, Chinese, a language added by the configuration, or another language.

Only the request is read, not a pasted text. If a colon or a line break separates the two, the part before this mark
decides. `Translate to English: 你好` is English.

Scripts and function words decide first. A text in Latin letters with few English words goes to the package `eld`, which
knows 60 languages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from string import ascii_lowercase, ascii_uppercase
from typing import TYPE_CHECKING

from gateway.prompt.language.vocabulary import VOCABULARY, Derived
from gateway.prompt.language.wording import TASK_CHARS, is_task

if TYPE_CHECKING:
    from eld import LanguageDetector

WEIGHT = 2.5  # a Chinese character counts as this many Latin letters
SHORTEST = 4.0  # a shorter first part, such as "Q:", is not enough to decide

LONGEST = 2000  # the number of characters that are read: enough to decide, and cheap enough for the event loop

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_OTHER = re.compile(
    r"[\u00c0-\u024f\u0370-\u052f\u0590-\u06ff\u0900-\u0dff\u0e00-\u0e7f\u1100-\u11ff\u3040-\u30ff\uac00-\ud7af]"
)
_KANA = re.compile(r"[\u3040-\u30ff\uac00-\ud7af]")
_PAYLOAD = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|\"[^\"]*\"|“[^”]*”|「[^」]*」|『[^』]*』|《[^》]*》", re.S
)
_MARKS = ("`", '"', "://")
_HEAD = re.compile(r"[^\n:：]*")

_CODE = re.compile(r"[\w\])]\s?[=(\[{]|[;{}]|::|=>")

_LETTERS = (ascii_lowercase + ascii_uppercase).encode()
_WORD = re.compile(r"[^\W\d_]+")

# A text is foreign if it has at least two foreign function words, and more foreign than English ones.
_ENGLISH_WORDS = (
    "the a an of to in is are was were be and or for on with this that these it you i me my we our your can could"
    " would should please what how why who which when where do does did not from as at by if into about"
)
_FOREIGN_WORDS = (
    "el la los las un una de del que y en es por para con como cuál qué mi tu su se"
    " le les des une du et est pour avec dans sur qui quel quelle je vous nous comment pourquoi"
    " der die das ein eine und ist für mit auf wie ich sie nicht bitte den dem zu von im warum"
    " il lo gli di che è per non sono della nel puoi o os um uma do da e não em no na você"
)
_ENGLISH, _FOREIGN = frozenset(_ENGLISH_WORDS.split()), frozenset(_FOREIGN_WORDS.split())
# verbs of prompts with a formula; such prompts have too few words for the detector
_FORMULA_VERBS = ("factorise", "factorize", "simplify", "differentiate", "integrate")
_ENGLISH_VERBS = frozenset((*VOCABULARY["en"].task.verbs, *VOCABULARY["en"].refine.asks, *_FORMULA_VERBS))

ANY_WORDS = 6
"""The detector is often wrong about fewer words."""
ENOUGH = 4
"""A request with at least this many English function words, and with fewer foreign ones, is English. A foreign text on
the same line does not change that.
"""
SURE = 0.3
"""If at least this share of the words are English function words and verbs, the text is English. Otherwise the detector
decides. The detector reads 27 % of real prompts, at 0.2 ms each.
"""
DETECTED_CHARS = 300
LAST_LINE_CHARS = 120
LEADING_HAN = 2  # as many Chinese characters at the start make a request about code Chinese
BELOW_HAN = 4  # as many Chinese characters in the last line below code make the request Chinese
FOREIGN_HEAD = 6
"""A foreign request with at least this many words decides the language, even if an English text follows. For shorter
requests the detector is not certain enough.
"""


def language_of(text: str) -> str:
    """Return the code of the text's language. "" stands for a language without templates, and for a text without
    words.
    """
    text = text[:LONGEST]
    # testing for quote marks first saves 90 % of the time
    plain = _PAYLOAD.sub(" ", text) if not text.isascii() or any(map(text.__contains__, _MARKS)) else text
    behind = _request_behind(plain) if "\n" in plain else ""
    head = _HEAD.match(plain.strip())
    request = behind or (head.group() if head else "")
    language = _decide(request)
    if language == "" and len(_WORD.findall(request)) >= FOREIGN_HEAD:
        return ""
    return language or _decide(plain) or _decide(text) or ""


def _request_behind(text: str) -> str:
    """Return the last line if it is a request about the text before it, and the first line is none. Else return ""."""
    first, _, rest = text.strip().partition("\n")
    last = rest.rpartition("\n")[2].strip()
    if _is_below_code(last, text):
        return last
    if not last or len(last) > LAST_LINE_CHARS or not is_task(last.lower()) or is_task(first[:TASK_CHARS].lower()):
        return ""
    return last


def _is_below_code(last: str, text: str) -> bool:
    """Return whether the last line has the only Chinese words of a text with code."""
    han = 0 if last.isascii() else len(_HAN.findall(last))
    if han < BELOW_HAN or len(last) > LAST_LINE_CHARS:
        return False
    above = text.rstrip()[: -len(last)]
    words = _WORD.findall(above.lower())
    return above.isascii() and _CODE.search(above) is not None and sum(map(_ENGLISH.__contains__, words)) < ENOUGH


def _decide(text: str) -> str | None:
    """Return the language, "" for a language without templates, or None if the text is too short to decide."""
    ascii_bytes = text.encode("ascii", "ignore")
    latin = len(ascii_bytes) - len(ascii_bytes.translate(None, _LETTERS))
    han, other = (0, 0) if text.isascii() else (len(_HAN.findall(text)), len(_OTHER.findall(text)))
    if han * WEIGHT + latin + other < SHORTEST:
        return None
    if _is_foreign_script(han, latin, other, text):
        return _added(text)
    if han * WEIGHT > latin or (han >= LEADING_HAN and _is_request_with_code(text)):
        return "zh"
    words = [word for word in _WORD.findall(text.lower()) if len(word) > 1 or word in _ENGLISH or word in _FOREIGN]
    added = _by_words(words)
    if added:
        return added
    foreign, english = (sum(map(known.__contains__, words)) for known in (_FOREIGN, _ENGLISH))
    if foreign >= 2 and foreign > english:
        return _added(text)
    verbs = sum(map(_ENGLISH_VERBS.__contains__, words))
    if english + verbs >= SURE * len(words) or (english >= ENOUGH and english > foreign):
        return "en"
    return "en" if _detected(text[:DETECTED_CHARS]) == "en" else _added(text)


def _is_request_with_code(text: str) -> bool:
    """Return whether Chinese words come first and code follows, as in `解释代码 a = b[::-1]`."""
    lead = text.lstrip()
    if not all(map(_HAN.match, lead[:LEADING_HAN])):
        return False
    return _CODE.search(lead) is not None and sum(map(_ENGLISH.__contains__, _WORD.findall(lead))) < ENOUGH


def _by_words(words: Sequence[str]) -> str:
    """Return the added language whose function words and verbs make up at least the share `SURE` of the words, or
    "".
    """
    for code, known in _added_words().items():
        own = sum(map(known.__contains__, words))
        if own >= max(2.0, SURE * len(words)) and own > sum(map(_ENGLISH.__contains__, words)):
            return code
    return ""


@Derived
def _added_words() -> dict[str, frozenset[str]]:
    languages = ((code, VOCABULARY[code]) for code in VOCABULARY.folders)
    return {code: frozenset((*words.common, *words.task.verbs)) for code, words in languages if words.spaced}


def _added(text: str) -> str:
    """Return the detector's language if that is an added language, else ""."""
    if not VOCABULARY.folders:
        return ""
    code = _detected(text[:DETECTED_CHARS])
    return code if code in VOCABULARY.folders else ""


def any_language(text: str) -> str:
    """Return the code of the text's language, also of a language without templates. "" stands for a text that is too
    short to tell.
    """
    plain = _PAYLOAD.sub(" ", text[:LONGEST])
    words = _WORD.findall(plain)
    if _HAN.search(plain) is None and len(words) < ANY_WORDS:
        return ""
    return _detected(plain[:DETECTED_CHARS])


def load_detector() -> None:
    """Load the detector before the first prompt needs it. This takes half a second and 45 MB."""
    _detector()


@cache
def _detector() -> LanguageDetector:
    from eld import LanguageDetector

    return LanguageDetector()


@lru_cache(maxsize=256)  # several stages ask for the language of the same prompt
def _detected(text: str) -> str:
    return str(_detector().detect(text).language or "")


def _is_foreign_script(han: int, latin: int, other: int, text: str) -> bool:
    """Return whether the script is neither Latin nor Chinese. With Kana or Hangul, Chinese characters are Japanese or
    Korean.
    """
    kana = len(_KANA.findall(text)) if other else 0
    return (kana > max(1, han // 8) and kana * WEIGHT > latin) or other > latin + han * WEIGHT
