"""Mines the system messages of one key: first equal texts, then nearly equal texts, then the rest."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from gateway.prompt.found.shape import TextShape
from offline_jobs.datasets.near_duplicates import ALIKE, signature
from offline_jobs.discover.align import aligned
from offline_jobs.discover.frame import MinedShape, unread
from offline_jobs.discover.mine import mine
from offline_jobs.discover.sample import SampleText, evidence
from offline_jobs.discover.split import separated
from offline_jobs.discover.tokens import masked, words

KEPT = 0.6
"""Nearly equal system messages are one prompt only if they have at least this share of the text in common."""
SHORT = 6
"""If a group has only a few texts, the values in which they differ may have at most this many words."""
FEW = 3
LEAST_CHARS = 8
BANDS = 8


def system_shapes(samples: Sequence[SampleText]) -> list[MinedShape]:
    """Return the shapes of the system messages, those with the most fixed text first."""
    mined: list[MinedShape] = []
    for group in near_groups(samples):
        mined += _group_shapes(group)
    mined += mine(unread(samples, mined), in_system=True)
    return sorted(mined, key=lambda one: (-one.shape.fixed_chars, one.shape.pieces))


def near_groups(samples: Sequence[SampleText]) -> list[list[SampleText]]:
    """Group nearly equal texts. Numbers and dates are ignored."""
    by_mask: defaultdict[str, list[SampleText]] = defaultdict(list)
    for sample in samples:
        by_mask[masked(sample.text)].append(sample)
    masks = list(by_mask)
    owner = list(range(len(masks)))

    def root(at: int) -> int:
        while owner[at] != at:
            owner[at] = owner[owner[at]]
            at = owner[at]
        return at

    signed = [signature(mask) for mask in masks]
    bands: dict[tuple[int, bytes], int] = {}
    for at, sign in enumerate(signed):
        for band, rows in enumerate(np.split(sign, BANDS)):
            other = bands.setdefault((band, rows.tobytes()), at)
            if root(other) != root(at) and float((signed[other] == sign).mean()) >= ALIKE:
                owner[root(at)] = root(other)
    groups: defaultdict[int, list[SampleText]] = defaultdict(list)
    for at, mask in enumerate(masks):
        groups[root(at)] += by_mask[mask]
    return [groups[at] for at in sorted(groups)]


def _group_shapes(group: Sequence[SampleText]) -> list[MinedShape]:
    shared = evidence(group)
    if not shared.suffices:
        return []
    if len(group) == 1:
        text = group[0].text
        return [MinedShape(TextShape((text,)), tuple(group))] if len(text) >= LEAST_CHARS else []
    shape = aligned([sample.text for sample in group], dates_vary=shared.dates_vary)
    fitting = [sample for sample in group if shape.values(sample.text) is not None]
    parts = separated(shape, fitting, in_system=True)
    if parts != [fitting]:
        return [mined for part in parts for mined in _group_shapes(part)]
    if _is_one(shape, fitting):
        return [MinedShape(shape, tuple(fitting))] if evidence(fitting).suffices else []
    return [mined for sample in group for mined in _group_shapes([sample])]


def _is_one(shape: TextShape, members: Sequence[SampleText]) -> bool:
    """Return whether the texts are one prompt with different values, and not several similar prompts."""
    if not members or shape.fixed_chars < KEPT * min(len(member.text) for member in members):
        return False
    if len(members) > FEW:
        return True
    values = [value for member in members for value in shape.values(member.text) or ()]
    return shape.parts <= FEW and all(words(value) <= SHORT for value in values)
