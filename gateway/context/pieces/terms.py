"""Finds names and terms that recur in a text, so that all pieces of the text render them alike."""

import re
from collections import Counter

MOST = 24
FEWEST = 2
"""The minimum number of occurrences of a name."""
LONGEST = 60
_NAME = re.compile(r"(?<=[a-z0-9,;)] )([A-Z][\w'’-]+(?: (?:of |de |von |van )?[A-Z][\w'’-]+)*)")
"""Words with a capital letter in the middle of a sentence."""
_ACRONYM = re.compile(r"\b[A-Z][A-Z0-9-]{1,9}\b")
_QUOTED = re.compile(r"《([^《》\n]{1,20})》|“([^“”\n]{1,12})”")
_LINE = re.compile(r"^[\s>*•-]*(?P<term>[^=\n]{1,60}?)\s*=\s*(?P<form>[^=\n]{1,60}?)\s*$", re.MULTILINE)


def recurring(text: str) -> tuple[str, ...]:
    """Return the names, abbreviations and quoted terms that occur more than once, the most frequent first. Blocking."""
    found: Counter[str] = Counter(match[1] for match in _NAME.finditer(text))
    found.update(match[0] for match in _ACRONYM.finditer(text))
    found.update(match[1] or match[2] for match in _QUOTED.finditer(text))
    usual = [term for term, times in found.most_common(4 * MOST) if times >= FEWEST and len(term) <= LONGEST]
    return tuple(usual[:MOST])


def forms(answer: str, terms: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Read the lines `term = form` of a model's answer. Lines about other terms are left out."""
    known = {term.casefold(): term for term in terms}
    pairs: dict[str, str] = {}
    for match in _LINE.finditer(answer):
        term = known.get(match["term"].strip(" \"'`").casefold())
        if term:
            pairs.setdefault(term, match["form"].strip(" \"'`"))
    return tuple(pairs.items())
