"""Reads a refiner's answer. The result is a better prompt, or the answer is rejected with a reason.

Two filters come from the BPO data set. One rejects leftover markers such as `<prompt>` or `[END]`. The other limits the
length of the better prompt relative to the original. The remaining filters catch frequent failures: the model refuses,
answers the prompt, changes the prompt's language, or leaves out a part.
"""

import re
from collections.abc import Callable, Iterator
from itertools import pairwise

from msgspec import Struct

from gateway.prompt import additions, guards
from gateway.prompt.language.detect import language_of
from gateway.prompt.language.literals import fences
from gateway.prompt.language.vocabulary import VOCABULARY, Derived, LanguageWords, any_of, folded

SHRINKS = 0.5
"""The minimum length of a refined prompt, as a share of the original. A shorter prompt has left something out."""
SHORT_CHARS = 60
"""Any shorter prompt may grow to the same size as a prompt of this length. A good prompt for "haiku?" has more than six
times the letters of "haiku?".
"""
SHARED = 0.3
"""The minimum share of the original's words in a refined prompt. If fewer remain, the model has answered the prompt
instead.
"""

_TAGGED = re.compile(r"<prompt>\s*(.*?)\s*(?:</prompt>|\Z)", re.DOTALL | re.IGNORECASE)
_RESIDUE = re.compile(
    r"</?prompt>|\[protected|\[/?end\]|\[/?inst\]|<\|[a-z_]+\|>|<</?sys>>|^#+ (?:system|user|assistant)\b", re.M
)
_LONG_WORD = re.compile(r"[^\W\d_]{4,}")
_loose_parts = Derived(
    lambda: any_of(part for words in VOCABULARY.values() if not words.spaced for part in words.refine.loose)
)
_QUOTES = {'"': '"', "“": "”", "「": "」", "'": "'"}


class Rejected(Exception):
    """The refiner's answer cannot replace the prompt. The message gives the reason."""


class _Manner(Struct, frozen=True):
    """The patterns of one language for refusals, introductions and requests."""

    refuses: re.Pattern[str]
    leads: re.Pattern[str]
    asks: re.Pattern[str]


def _manner(words: LanguageWords) -> _Manner:
    refine, task = words.refine, words.task
    end = r"\b" if words.spaced else ""
    begins = rf"(?:(?<=[.!?:;,\n。！？：；，])|\A)[\s\"'*\-“「]*(?:(?:{'|'.join(task.polite) or '(?!)'})\W+)*"
    verbs = "|".join((*task.verbs, *refine.asks)) or "(?!)"
    questions = rf"\A\W*{words.whole(task.questions)}"
    return _Manner(
        re.compile(rf"\W*(?:{'|'.join(refine.refusals) or '(?!)'})"),
        re.compile(rf"\W*(?:{'|'.join(refine.lead_ins) or '(?!)'})\s*"),
        any_of((rf"{begins}(?:{verbs}){end}", words.whole(refine.requests), questions, r"[?？]")),
    )


_manners = Derived(lambda: {language: _manner(words) for language, words in VOCABULARY.items()})


def read_refined(original: str, answer: str, *, language: str, growth: float) -> str:
    """Return the better prompt, or "" if the refiner left the prompt as it is. Raises `Rejected`."""
    manner = _manners()[language]
    refined = unwrapped(answer, original, manner.leads)
    if not refined:
        raise Rejected("the refiner's answer is empty")
    if " ".join(refined.split()) == " ".join(original.split()):
        return ""
    for why in _faults(original, refined, manner, language, growth):
        raise Rejected(why)
    return refined


def unwrapped(answer: str, original: str, leads: re.Pattern[str]) -> str:
    """Return the prompt in the answer, without tags, code fence, quotes or an introduction such as `Here is the
    improved prompt:`.
    """
    tagged = _TAGGED.search(answer)
    text = (tagged[1] if tagged else answer).strip()
    for _ in range(2):  # an answer may begin with both "Sure!" and "Here is ...:"
        match = leads.match(folded(text))
        if match and not leads.match(folded(original)):
            text = text[match.end() :].strip()
    blocks = fences(text)
    if len(blocks) == 1 and blocks[0].start == 0 and blocks[0].end == len(text) and "```" not in original:
        text = text[blocks[0].body_start : blocks[0].body_end].strip()
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and original[:1] != text[0]:
        text = text[1:-1].strip()
    return text


def _faults(original: str, refined: str, manner: _Manner, language: str, growth: float) -> Iterator[str]:
    low, before = folded(refined), folded(original)
    match = _RESIDUE.search(low)
    if match and match[0] not in before:
        yield f"the refiner's answer has residue: {match[0]!r}"
    if manner.refuses.match(low) and not manner.refuses.match(before):
        yield "the refiner refuses"
    ratio = len(refined) / max(1, len(original))
    if ratio < SHRINKS:
        yield f"the refiner leaves out too much: {len(refined)} of {len(original)} characters"
    if len(refined) > growth * max(len(original), SHORT_CHARS):
        yield f"the refined prompt is {ratio:.1f} times as long; at most {growth:g} times"
    if language_of(refined) != language:
        yield "the refiner changes the language"
    if manner.asks.search(before) and not manner.asks.search(low):
        yield "the refiner answers instead of rewriting: there is no request any more"
    if shared(before, low) < SHARED:
        yield "the refiner answers instead of rewriting: the result has few of the prompt's words"
    gone = guards.changed(original, refined)
    if gone:
        yield f"the refined prompt would lose {named(gone)}"
    if guards.hostile(refined):
        yield "the refined prompt tells the model to ignore or to show its instructions"
    new = additions.added(original, refined, language)
    if new:
        yield f"the refined prompt adds to the task: {named(new)}"
    words = additions.exchanged(original, refined, language)
    if words:
        yield f"the refined prompt exchanges words: {named(words)}"


def shared(before: str, after: str) -> float:
    """Return the share of the words in `before` that also occur in `after`, from 0 to 1.

    Words are compared by their first letters only.
    """
    cut: Callable[[str], set[str]] = _word_stems if before.isascii() else _pairs
    own = cut(before)
    return len(own & cut(after)) / len(own) if own else 1.0


def _word_stems(text: str) -> set[str]:
    return {word[:5] for word in _LONG_WORD.findall(text) if not guards.loose().fullmatch(word)}


def _pairs(text: str) -> set[str]:
    """Return each pair of neighbouring characters. Where no blanks separate the words, pairs are compared instead of
    words.
    """
    return {pair for word in re.findall(r"\w+", _loose_parts().sub(" ", text)) for pair in map("".join, pairwise(word))}


def named(items: tuple[str, ...]) -> str:
    """Return the items as one text, shortened for a note."""
    shown = ", ".join(f"{item[:60]!r}" for item in items[:5])
    return shown + (f" and {len(items) - 5} more" if len(items) > 5 else "")
