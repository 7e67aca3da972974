"""Splits a text into words for the index. In scripts with spaces, a word is a stem. In scripts without spaces, it is a
pair of neighbouring characters.
"""

import re
import unicodedata
from itertools import pairwise
from pathlib import Path

from gateway.context.store.written_forms import FORMS, form_of, normal

SPACELESS = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
WORD = re.compile(rf"[{SPACELESS}]+|(?:(?![{SPACELESS}])[^\W_])+")
JOINED_WORDS = re.compile(r"[A-Za-z][a-z]{2,}(?:[A-Z][a-z]{2,})+")
JOINED = re.compile(r"[a-z]{2}[A-Z][a-z]{2}")
DIGITS = frozenset("0123456789")
CAPITAL = re.compile(r"(?=[A-Z])")
IS_SPACELESS = re.compile(rf"[{SPACELESS}]")

# Words that occur in any question.
STOP = frozenset(Path(__file__).with_name("stop_words.txt").read_text("utf-8").split())

ASKING = re.compile(
    "为什么|是什么|什么时候|什么|怎么样|怎么|怎样|哪一年|哪[里儿些个位种所家年几](?!吒)|哪(?!吒)|谁|是?多少个?"
    "|为何|何时|何处|何种|是否|有何|多大|多久|多长|多高|请问"
)
"""Chinese question words. The pairs that they form with neighbouring characters would occur in any question."""


def terms_of(query: str) -> list[str]:
    """Return the distinct words of a query, without stop words and Chinese question words. If the query has only such
    words, they are returned.
    """
    words = list(dict.fromkeys(_words_of(ASKING.sub(" ", query)) or _words_of(query)))
    return [word for word in words if word not in STOP] or words


def words_of(text: str) -> list[str]:
    """Return the words of a text in the form in which they are indexed.

    The parts of a name such as `uploadPiece` are indexed too, since a question names them as separate words. A question
    that has the whole name finds it without its parts, which would make the question look longer.
    """
    return _words_of(JOINED_WORDS.sub(_apart, text) if JOINED.search(text) else text)


def _words_of(text: str) -> list[str]:
    # replaces compatibility forms (full width, ligatures) and drops accents
    plain = unicodedata.normalize("NFKD", text).casefold()
    if not plain.isascii():
        plain = "".join(char for char in plain if not unicodedata.combining(char))
    words: list[str] = []
    for word in WORD.findall(normal(plain)):
        if IS_SPACELESS.match(word):
            words += map("".join, pairwise(word)) if len(word) > 1 else (word,)
        else:
            if word in FORMS or word[0] in DIGITS:
                word = form_of(word)
            words.append(word if word in STOP else stem(word))
    return words


def _apart(match: re.Match[str]) -> str:
    return f"{match[0]} {CAPITAL.sub(' ', match[0])}"


def stem(word: str) -> str:
    """Remove common endings from an English word: reports, reported, reporting -> report."""
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    if word.endswith("s") and word[-2] not in "suia":
        word = word[:-1] if not word.endswith("ies") or len(word) < 5 else word[:-3] + "y"
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) > 2 and re.search("[aeiouy]", rest):
            return rest[:-1] if rest[-1] == rest[-2] and rest[-1] not in "lsz" else rest.removesuffix("e")
    return word[:-1] if len(word) > 4 and word.endswith("e") else word
