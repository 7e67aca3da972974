"""Self-consistency: the most frequent result among several answers wins.

The method is from Wang et al. 2022, arXiv 2203.11171.
"""

import re
from collections import Counter
from collections.abc import Sequence

from gateway import marker as markers
from gateway.prompt.templates.patterns import Pattern

_NUMBER = re.compile(r"[-+]?[\d,]*\d(?:\.\d+)?")
_EDGES = " \t\n.,;:!?*_`\"'()[]{}<>$。，；：！？“”‘’（）"


def result_of(answer: str, marker: str, pattern: Pattern | None) -> str:
    """Return the result of an answer, or "" if it has none. The result is in a normal form, in which `1,000` and
    `1000.0` are equal.
    """
    if pattern is not None:
        results = [match[pattern.groups and 1] or "" for match in pattern.finditer(answer)]
        return _normal(results[-1]) if results else ""
    if not marker:
        return _normal(answer)
    parts = markers.split(answer, marker)
    return _normal(parts[1]) if parts else ""


def elect(results: Sequence[str]) -> tuple[int, int]:
    """Return the index of the first answer with the most frequent result, and the number of votes for this result.

    Of two equally frequent results, the earlier wins. If no answer has a result, (0, 0) is returned.
    """
    counts = Counter(result for result in results if result)
    if not counts:
        return 0, 0
    winner, votes = counts.most_common(1)[0]
    return results.index(winner), votes


def _normal(result: str) -> str:
    text = " ".join(result.casefold().split()).strip(_EDGES)
    number = _NUMBER.fullmatch(text)
    if number is None:
        return text
    value = float(text.replace(",", ""))
    return str(int(value)) if value.is_integer() else str(value)
