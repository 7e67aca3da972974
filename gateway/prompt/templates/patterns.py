"""Regular expressions that template authors write, with a limit on the time of a search.

A search with Python's `re` cannot be stopped, and a pattern such as `(a+)+$` can run for years. Therefore, the package
`regex` is used, and a search stops after `LIMIT_S`. In addition, nested repetitions are refused when the file is read,
unless the product of their counts is small.
"""

import re
import warnings
from collections.abc import Iterator
from re import _constants as codes  # type: ignore[attr-defined]  # the parser of `re`, which has no public name
from re import _parser  # type: ignore[attr-defined]
from typing import Any

MAX_CHARS = 500
"""The maximum length of a pattern in characters."""
MAX_REPEATS = 1000
"""The maximum product of the counts of nested repetitions."""
LIMIT_S = 0.02
SEARCHED_CHARS = 50_000
"""The number of characters that are searched, from the start of a text."""

_REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT)


class NotBounded(ValueError):
    """The pattern is not a regular expression, or its run time has no limit. The message gives a remedy."""


class Pattern:
    """A regular expression that ignores letter case. A search that exceeds the time limit finds nothing."""

    def __init__(self, pattern: str) -> None:
        """Compile the pattern. Raises `NotBounded`."""
        # imported here, since a gateway without templates does not need it
        import regex  # type: ignore[import-untyped]

        _check(pattern)
        self.pattern = pattern
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                self._compiled: Any = regex.compile(pattern, regex.IGNORECASE | regex.VERSION0)
        except (regex.error, RecursionError, Warning) as error:
            raise NotBounded(f"the pattern is not a regular expression: {error}") from error
        self.groups: int = self._compiled.groups

    def search(self, text: str) -> re.Match[str] | None:
        try:
            match: re.Match[str] | None = self._compiled.search(text[:SEARCHED_CHARS], timeout=LIMIT_S)
        except TimeoutError:
            return None
        return match

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        try:
            yield from self._compiled.finditer(text[:SEARCHED_CHARS], timeout=LIMIT_S)
        except TimeoutError:
            return

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and self.pattern == other.pattern

    def __hash__(self) -> int:
        return hash(self.pattern)


def _check(pattern: str) -> None:
    if len(pattern) > MAX_CHARS:
        raise NotBounded(f"the pattern has {len(pattern)} characters; at most {MAX_CHARS}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tree = _parser.parse(pattern, re.IGNORECASE)
    except (re.error, RecursionError, OverflowError, Warning) as error:
        raise NotBounded(f"the pattern is not a regular expression: {error}") from error
    _check_repeats(tree, 1)


def _check_repeats(tree: Any, outer: int) -> None:
    """Raise `NotBounded` for a repetition within a repetition, unless the product of their counts is small."""
    for code, value in tree:
        times = outer
        if code in _REPEATS:
            most = int(value[1])
            times = outer * most
            if most > 1 and outer > 1 and times > MAX_REPEATS:
                raise NotBounded(
                    "a repetition within a repetition, such as (a+)+, can run without end; "
                    "repeat one of them a fixed number of times, or list the characters: [a-z.]+"
                )
        for part in _parts(value):
            _check_repeats(part, times)


def _parts(value: Any) -> Iterator[Any]:
    """Yield the patterns inside a node of the syntax tree."""
    if isinstance(value, _parser.SubPattern):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _parts(item)
