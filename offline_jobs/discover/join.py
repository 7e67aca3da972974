"""Joins mined shapes that belong together.

Two shapes are joined if one matches the texts of the other. Several shapes are joined if they differ only in a short
value, or only in content that many requests quote.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

from offline_jobs.discover.align import aligned
from offline_jobs.discover.features import Feature
from offline_jobs.discover.frame import MinedShape, MinedShapes, instructs
from offline_jobs.discover.sample import FEWEST_REQUESTS, SampleText
from offline_jobs.discover.split import LONGEST, follow_each_other, is_label
from offline_jobs.discover.tokens import words

SENTENCE = re.compile(r"(?<=[.?!])\s+|\n")
LOOKED_AT = 20
SLACK = 1.1
KEPT = 0.6
"""Shapes are joined only if their common shape keeps at least this share of each shape's fixed text."""
SIBLINGS = 3
"""Shapes that differ in one short value are joined only if there are at least this many."""
STRONG = 5
"""Only features of at least this weight are used to compare shapes."""
COVERED = 0.95
SINGLES = 0.1
"""If at least this share of the wider shape's texts match no narrow shape, the narrow shapes differ only in content."""
SHARED = 0.5
"""The narrow shape's additional text is content if at least this share of that text also occurs in other prompts."""

Known = Mapping[str, Sequence[Feature]]


def merged(mined: Sequence[MinedShape]) -> list[MinedShape]:
    """Join shapes if one matches the texts of the other, or if several differ only in one short value."""
    shapes = sorted(mined, key=lambda one: (one.shape.fixed_chars, one.shape.pieces))
    # a constant text fits no other text, and there may be thousands of them
    wide = [place for place, one in enumerate(shapes) if one.shape.parts]
    kept: list[MinedShape] = []
    for place in reversed(range(len(shapes))):
        one = shapes[place]
        wider = next((other for other in wide if other < place and _reads(shapes[other], one)), None)
        if wider is None:
            kept.append(one)
        else:
            shapes[wider] = MinedShape(shapes[wider].shape, (*shapes[wider].members, *one.members))
    return _siblings_joined(kept)


def _reads(wide: MinedShape, narrow: MinedShape) -> bool:
    if wide.shape.values(narrow.members[0].text) is None or wide.shape.fixed_chars > narrow.shape.fixed_chars:
        return False
    if not instructs(wide.shape) and wide.shape.fixed_chars < KEPT * narrow.shape.fixed_chars:
        return False
    if follow_each_other([list(wide.members), list(narrow.members)]):
        return False
    return all(wide.shape.values(member.text) is not None for member in narrow.members)


def _siblings_joined(mined: Sequence[MinedShape]) -> list[MinedShape]:
    families: defaultdict[tuple[str, str], list[MinedShape]] = defaultdict(list)
    for one in mined:
        for edge in {("head", one.shape.pieces[0][:12]), ("tail", one.shape.pieces[-1][-12:])}:
            if words(edge[1]):
                families[edge].append(one)
    gone: set[int] = set()
    joined: list[MinedShape] = []
    for family in sorted(families.values(), key=len, reverse=True):
        there = [one for one in family if id(one) not in gone]
        wide = _common(there) if len(there) >= SIBLINGS else None
        if wide is not None:
            gone.update(id(one) for one in there)
            joined.append(wide)
    return [*joined, *(one for one in mined if id(one) not in gone)]


def _common(family: Sequence[MinedShape]) -> MinedShape | None:
    """Return the common shape of a family, or None if the common shape keeps too little of a member's fixed text."""
    members = [member for one in family for member in one.members]
    shape = aligned([one.members[at % len(one.members)].text for at in range(8) for one in family])
    if any(shape.fixed_chars < KEPT * one.shape.fixed_chars for one in family):
        return None
    if any(follow_each_other([list(one.members), list(two.members)]) for one, two in combinations(family, 2)):
        return None
    fitting = tuple(member for member in members if shape.values(member.text) is not None)
    return MinedShape(shape, fitting) if len(fitting) == len(members) else None


def without_content(
    mined: Sequence[MinedShape],
    samples: Sequence[SampleText],
    known: Known,
    shapes_of: Callable[[Sequence[SampleText]], list[MinedShape]],
) -> list[MinedShape]:
    """Join shapes that differ only in content, such as a document that many requests quote."""
    kept = list(mined)
    by_feature: defaultdict[int, list[SampleText]] = defaultdict(list)
    for sample in samples:
        for feature in known[sample.text]:
            if feature.weight >= STRONG:
                by_feature[feature.hash].append(sample)
    fits = MinedShapes(kept)
    reader = {sample.text: fits.first(sample.text) for sample in samples}
    tried: set[frozenset[str]] = set()
    for texts in sorted(by_feature.values(), key=lambda texts: -sum(sample.count for sample in texts)):
        if sum(sample.count for sample in texts) < FEWEST_REQUESTS:
            break
        readers = list({id(one): one for sample in texts if (one := reader[sample.text]) is not None}.values())
        alone = len(readers) == 1 and all(reader[sample.text] for sample in texts)
        group = frozenset(sample.text for sample in texts)
        if not readers or alone or group in tried:
            continue
        tried.add(group)
        wide = shapes_of(texts)
        if len(wide) == 1 and _is_wider(wide[0], readers, texts, samples):
            kept = [one for one in kept if one not in readers and not _reads(wide[0], one)] + wide
            reader |= {text: wide[0] for text in reader if wide[0].shape.values(text) is not None}
    return kept


def _is_wider(
    wide: MinedShape,
    narrow: Sequence[MinedShape],
    texts: Sequence[SampleText],
    samples: Sequence[SampleText],
) -> bool:
    if not instructs(wide.shape) or len(wide.members) < COVERED * len(texts):
        return False
    if any(wide.shape.values(member.text) is None for one in narrow for member in one.members):
        return False
    single = [s for s in wide.members if all(one.shape.values(s.text) is None for one in narrow)]
    if len(single) >= SIBLINGS and len(single) >= SINGLES * len(wide.members):
        return True
    if len(narrow) >= SIBLINGS and all(_quotes(wide, one) for one in narrow):
        return True
    outside = "\n".join(sample.text for sample in samples if wide.shape.values(sample.text) is None)
    return all(_adds_content(wide, one, outside) for one in narrow)


def _quotes(wide: MinedShape, narrow: MinedShape) -> bool:
    """Return whether the narrow shape is the wide shape with a long constant value.

    The value must follow a label or a quotation mark, and the narrow shape may have hardly any other fixed text.
    """
    read = [values for member in narrow.members if (values := wide.shape.values(member.text))]
    constant = {part: column[0] for part, column in enumerate(zip(*read, strict=True)) if len(set(column)) == 1}
    labelled = all(is_label(wide.shape.pieces[part]) for part in constant)
    own = narrow.shape.fixed_chars - wide.shape.fixed_chars
    longest = max(map(len, constant.values()), default=0)
    return labelled and longest > LONGEST and own <= SLACK * sum(map(len, constant.values()))


def _adds_content(wide: MinedShape, narrow: MinedShape, outside: str) -> bool:
    """Return whether other prompts contain most of the narrow shape's additional text."""
    own = "\n".join(wide.shape.pieces)
    sentences = [part for piece in narrow.shape.pieces for part in SENTENCE.split(piece) if words(part) >= STRONG]
    added = [sentence for sentence in sentences if sentence not in own]
    added = added[:: len(added) // LOOKED_AT + 1]
    return bool(added) and sum(sentence in outside for sentence in added) >= SHARED * len(added)
