"""What a prompt looks like, as a few plain numbers that can be named in a reason.

These tell a raw prompt from a well-specified one better than any embedding does, and in
microseconds. Counts are damped with log1p: the step from none to one matters most.
"""

import re
from collections.abc import Callable
from math import log1p

HEAD, TAIL = 1000, 300  # characters

_FENCE = re.compile(r"```.*?(?:```|\Z)", re.S)
_QUOTED = re.compile(r"\"[^\"\n]{2,}\"|“[^”\n]{2,}”|「[^」\n]+」|'[^'\n]{12,}'")
_WORD = re.compile(r"[A-Za-z']+|[\u3400-\u9fff]|\d+")
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|[。！？；]")
_LIST_MARK = re.compile(r"^\s*(?:[-*•]|\d+[.)、]|[（(]\d+[)）])\s*\S", re.M)
_DIGITS = re.compile(r"\d+")
_CONSTRAINT = re.compile(
    r"\b(?:must|should|only|exactly|at least|at most|no more than|no longer than|up to|between|without|avoid|ensure"
    r"|make sure|do not|don't|keep|limit(?:ed)?|within|include|including|using|use only|each|based on|according to)\b"
    r"|必须|应当|应该|需要|只能|只需|仅|不要|不得|避免|确保|至少|最多|不超过|以内|左右|包括|包含|使用|控制在|基于|根据|每个|每条",
    re.I,
)
_FORMAT = re.compile(
    r"\b(?:json|yaml|xml|csv|markdown|table|bullet(?:s| points?)?|list|numbered|format|headings?|paragraphs?|sentences?"
    r"|words?|lines?|columns?|sections?|structure[d]?|step[- ]by[- ]step|outline)\b"
    r"|表格|列表|要点|分点|分条|格式|段落|标题|编号|逐步|分步|字数|字以内|句话|大纲|结构",
    re.I,
)
_DETAIL = re.compile(
    r"\b(?:detailed?|comprehensive|thorough(?:ly)?|clear(?:ly)?|concise(?:ly)?|specific(?:ally)?|accurate(?:ly)?|informative"
    r"|engaging|well-structured|in-depth|relevant|appropriate|brief(?:ly)?|formal|creative|explanations?|reasons?|examples?)\b"
    r"|详细|全面|深入|清晰|清楚|简洁|简明|具体|准确|专业|正式|生动|完整|解释|说明|理由|例子|举例|例如",
    re.I,
)
_AUDIENCE = re.compile(
    r"\b(?:for (?:a|an|my|our|the|beginners|students|children|kids|someone|people)|audience|tone|style"
    r"|as an? \w+|you are|act as|imagine|context|background|purpose|so that|goal|aimed at|suitable for)\b"
    r"|读者|受众|面向|语气|风格|作为一[名个位]|你是|扮演|背景|目的|目标|以便|适合|用于",
    re.I,
)
_POLITE = re.compile(
    r"\b(?:please|could you|can you|would you|kindly|i would like|i'd like|provide)\b|请|麻烦|帮我|能否|可否", re.I
)
_QUESTION = re.compile(
    r"^\W*(?:what|why|how|who|which|when|where|is|are|do|does|did|can|could|should|will|whats|hows)\b"
    r"|什么|为什么|怎么|怎样|如何|谁|哪|吗|呢|多少",
    re.I,
)
_LINKING = re.compile(
    r"\b(?:and|or|but|because|while|if|then|also|such as|for example|that|which|as well as|in order to|considering)\b"
    r"|并且|而且|以及|同时|因为|如果|然后|另外|其中|比如|并",
    re.I,
)
_END = re.compile(r"[.!?。！？:：;；…)\]}”\"'`>]\s*$")


def _damped(pattern: re.Pattern[str]) -> Callable[[str], float]:
    return lambda text: log1p(len(pattern.findall(text)))


def _words(text: str) -> float:
    return log1p(len(_WORD.findall(text)))


def _words_per_sentence(text: str) -> float:
    return log1p(len(_WORD.findall(text)) / max(1, len(_SENTENCE_END.findall(text))))


def _starts_lower(text: str) -> float:
    first = text.lstrip()[:1]
    return float(first.isalpha() and first.islower())


def _long_words(text: str) -> float:
    """Share of Latin words with more than six letters: careful writing has more."""
    words = re.findall(r"[A-Za-z]+", text)
    return sum(len(word) > 6 for word in words) / len(words) if words else 0.25


MEASURES: dict[str, Callable[[str], float]] = {
    "words": _words,
    "sentences": _damped(_SENTENCE_END),
    "words a sentence": _words_per_sentence,
    "list items": _damped(_LIST_MARK),
    "numbers": _damped(_DIGITS),
    "constraints": _damped(_CONSTRAINT),
    "output format": _damped(_FORMAT),
    "level of detail": _damped(_DETAIL),
    "audience or role": _damped(_AUDIENCE),
    "polite frame": lambda text: float(bool(_POLITE.search(text))),
    "question": lambda text: float(bool(_QUESTION.search(text))),
    "linking words": _damped(_LINKING),
    "long words": _long_words,
    "no end mark": lambda text: float(not _END.search(text)),
    "starts in lower case": _starts_lower,
    "pasted text": lambda text: float(text.strip() == "" or "\n" in text.strip()),
}
NAMES = (*MEASURES, "quotes", "code")


def features(text: str) -> list[float]:
    """One number for each of `NAMES`. What is pasted or quoted is counted, but not read.

    Of a long prompt only the ends are measured: this runs on the event loop.
    """
    if len(text) > HEAD + TAIL:
        text = f"{text[:HEAD]}\n{text[-TAIL:]}"
    own = _QUOTED.sub(" ", _FENCE.sub(" ", text)).strip()
    found = [measure(own) for measure in MEASURES.values()]
    return [*found, log1p(len(_QUOTED.findall(text))), float("```" in text or "`" in text)]
