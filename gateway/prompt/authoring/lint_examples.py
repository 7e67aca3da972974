"""Finds match examples of different intents that have nearly the same words or the same meaning."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import ceil
from typing import TYPE_CHECKING

from msgspec import Struct

from gateway.prompt.templates.faults import at, plain
from gateway.prompt.templates.findings import Finding, Severity
from gateway.prompt.templates.template import Template

if TYPE_CHECKING:
    from gateway.ports import Vectors

Embed = Callable[[Sequence[str]], "Vectors"]

SHARED = 0.8
"""Two examples overlap if the Jaccard similarity of their words is at least this."""
MEANING = 0.92
"""Two examples overlap in meaning if the cosine of their vectors is at least this."""
WORD = re.compile(r"[a-z0-9']+|[^\x00-\x7f\s]")
FEWEST = 4  # words; shorter examples share most of their words by chance
BLOCK = 512
EMBEDDED = "en"  # the only language of the default sentence model


class _Example(Struct, frozen=True):
    template: Template
    text: str


def near(templates: Iterable[Template]) -> Iterator[Finding]:
    """Yield a finding for each pair of match examples of different intents that have nearly the same words.

    Two examples that overlap by `SHARED` have at least one of their rarest words in common. Only such pairs are
    compared (prefix filtering), which takes seconds for thousands of templates. Comparing all pairs would take hours.
    """
    examples = [(example, frozenset(WORD.findall(example.text.lower()))) for example in _examples(templates)]
    examples = [(example, words) for example, words in examples if len(words) >= FEWEST]
    common = Counter(word for _, words in examples for word in words)
    by_word: dict[str, list[int]] = defaultdict(list)
    for index, (example, words) in enumerate(examples):
        rarest = sorted(words, key=lambda word: (common[word], word))[: len(words) - ceil(SHARED * len(words)) + 1]
        for other in dict.fromkeys(other for word in rarest for other in by_word[word]):
            before, known = examples[other]
            elsewhere = before.template.intent.name != example.template.intent.name
            shared = len(words & known) >= SHARED * len(words | known)
            if elsewhere and shared and plain(example.text) != plain(before.text):
                yield _overlap(example, before, "has nearly the words of")
        for word in rarest:
            by_word[word].append(index)


def alike(templates: Iterable[Template], embed: Embed) -> Iterator[Finding]:
    """Yield a finding for each pair of match examples of different intents that have nearly the same embedding. Only
    examples in the embedder's language are compared.
    """
    import numpy as np

    examples = [example for example in _examples(templates) if example.template.language == EMBEDDED]
    if not examples:
        return
    vectors = np.asarray(embed([example.text for example in examples]), np.float32)
    for first in range(0, len(examples), BLOCK):
        rows, columns = np.nonzero(vectors[first : first + BLOCK] @ vectors.T >= MEANING)
        for row, column in zip((rows + first).tolist(), columns.tolist(), strict=True):
            example, other = examples[row], examples[column]
            if column < row and example.template.intent.name != other.template.intent.name:
                yield _overlap(example, other, "means nearly the same as")


def _overlap(example: _Example, other: _Example, how: str) -> Finding:
    place = f"intent {other.template.intent.name!r} ({other.template.file})"
    what = f"{example.text[:60]!r} {how} {other.text[:60]!r} of {place}"
    remedy = "word them so that they differ, or leave them to one intent"
    return at(example.template, "intent.match", "overlapping-examples", what, remedy, Severity.WARNING)


def _examples(templates: Iterable[Template]) -> Iterator[_Example]:
    for template in templates:
        for text in template.intent.match:
            yield _Example(template, text)
