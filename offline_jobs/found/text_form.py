"""Learns the form of short texts: a regular expression that describes them, or a fixed beginning and end."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile

from offline_jobs.found.settled import SETTLED, is_formed

_TOKEN = re.compile(r"\d+|[A-Z]+|[a-z]+|[^\W\d_]+|.", re.S)
NUMBERS = (r"-?\d+", r"-?\d+\.\d+", r"-?\d+(?:\.\d+)?", r"-?\d+(?:\.\d+)?\s?%")
MOST_TOKENS = 16
LONGEST = 80
"""Only texts of at most this many characters are described as a whole."""
SHORTEST_EDGE = 3
"""A fixed beginning or end has at least this many characters, of which one is a letter and one is not."""


def pattern_of(texts: Sequence[str]) -> str:
    """Return a regular expression that nearly all texts match as a whole, or "" if the texts have no common form."""
    if len(texts) < SETTLED:
        return ""
    if max(map(len, texts)) <= LONGEST:
        for pattern in NUMBERS:
            if is_formed([re.fullmatch(pattern, text) is not None for text in texts]):
                return pattern
        pattern = _by_tokens(texts)
        if pattern:
            return pattern
    return _by_edges(texts)


def _by_tokens(texts: Sequence[str]) -> str:
    """Return a pattern for texts that have the same kinds of tokens in the same order."""
    read = [[(_kind(token), token) for token in _TOKEN.findall(text)] for text in texts]
    signatures = Counter(tuple(kind for kind, _ in tokens) for tokens in read)
    (signature, _), *_ = signatures.most_common(1)
    alike = [tuple(kind for kind, _ in tokens) == signature for tokens in read]
    if not is_formed(alike) or len(signature) > MOST_TOKENS or not any(kind in _CLASSES for kind in signature):
        return ""
    if not _says_something(signature):
        return ""
    columns = zip(
        *([token for _, token in tokens] for tokens, same in zip(read, alike, strict=True) if same), strict=True
    )
    return "".join(_part(kind, column) for kind, column in zip(signature, columns, strict=True))


_CLASSES = {"digits": "", "upper": "[A-Z]", "lower": "[a-z]", "letters": r"[^\W\d_]"}


def _kind(token: str) -> str:
    if token.isdecimal():
        return "digits"
    if token.isalpha():
        if token.isascii():
            return "upper" if token.isupper() else "lower"
        return "letters"
    return token


def _says_something(signature: Sequence[str]) -> bool:
    """Return whether a pattern tells more than that the text is a word or two."""
    return "digits" in signature or any(kind not in _CLASSES and not kind.isspace() for kind in signature)


def _part(kind: str, tokens: Sequence[str]) -> str:
    if kind not in _CLASSES:
        return re.escape(kind)
    if kind == "digits":
        # a year ends and a counter grows: digits are never fixed, and only zeros in front settle a width
        return rf"\d{{{min(map(len, tokens))},}}" if any(token[0] == "0" for token in tokens) else r"\d+"
    if len(set(tokens)) == 1:
        return re.escape(tokens[0])
    lengths = {len(token) for token in tokens}
    return f"{_CLASSES[kind]}{{{lengths.pop()}}}" if len(lengths) == 1 else f"{_CLASSES[kind]}+"


def _by_edges(texts: Sequence[str]) -> str:
    """Return a pattern for texts with the same beginning or the same end, such as `Answer: `."""
    start, end = _most_common_start(texts), _most_common_start([text[::-1] for text in texts])[::-1]
    if not start and not end:
        return ""
    return f"{re.escape(start)}[\\s\\S]*{re.escape(end)}"


def _most_common_start(texts: Sequence[str]) -> str:
    (beginning, _), *_ = Counter(text[:SHORTEST_EDGE] for text in texts).most_common(1)
    alike = [text for text in texts if text.startswith(beginning)]
    if not is_formed([text.startswith(beginning) for text in texts]):
        return ""
    first, last = min(alike), max(alike)
    start = "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
    # the rest of a word may be chance: the edge ends behind a mark or a space
    while start and start[-1].isalnum():
        start = start[:-1]
    has_both = any(map(str.isalpha, start)) and not start.replace(" ", "").isalpha()
    return start if len(start) >= SHORTEST_EDGE and has_both else ""
