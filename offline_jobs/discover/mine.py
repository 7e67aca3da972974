"""Mines shapes from texts: groups the texts by their most telling feature (see `grouped`), and aligns each group."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from offline_jobs.discover.align import aligned
from offline_jobs.discover.features import Feature, features
from offline_jobs.discover.frame import MinedShape, is_frame, unread
from offline_jobs.discover.join import merged, without_content
from offline_jobs.discover.sample import FEWEST_REQUESTS, SampleText, evidence
from offline_jobs.discover.split import separated

ROUNDS = 8
INSIDE = 0.9
MOSTLY = 0.5


def mine(samples: Sequence[SampleText], *, in_system: bool = False) -> list[MinedShape]:
    """Return the shapes that the samples share. Shapes with the most fixed text come first.

    If `in_system` is true, the samples are system messages. Text that only a few system messages share is never treated
    as content, because system messages are instructions.
    """
    rest = list(samples)
    known = {sample.text: features(sample.text) for sample in samples}
    dead: set[int] = set()
    mined: list[MinedShape] = []
    for _ in range(ROUNDS):
        groups = grouped(rest, known, dead)
        if not groups:
            break
        holders = _holders(rest, known)
        for feature, members in groups.items():
            shapes = shapes_of(members, in_system=in_system)
            dead.add(feature)
            if not shapes:
                dead |= _only_inside(members, holders, known)
            mined += shapes
        mined = merged(mined)
        rest = unread(rest, mined)
    if not in_system:
        mined = merged(without_content(mined, samples, known, shapes_of))
    return sorted(mined, key=lambda one: (-one.shape.fixed_chars, one.shape.pieces))


def grouped(
    samples: Sequence[SampleText], known: Mapping[str, Sequence[Feature]], dead: set[int]
) -> dict[int, list[SampleText]]:
    """Group the samples by their most telling feature. This is the feature with the largest product of weight and
    number of requests.

    Features in `dead` are ignored. Samples without a frequent feature are left out.
    """
    counts: Counter[int] = Counter()
    for sample in samples:
        for feature in known[sample.text]:
            counts[feature.hash] += sample.count
    groups: defaultdict[int, list[SampleText]] = defaultdict(list)
    for sample in samples:
        best = primary(known[sample.text], counts, dead)
        if best:
            groups[best].append(sample)
    return dict(sorted(groups.items(), key=lambda item: (-sum(s.count for s in item[1]), item[0])))


def _holders(samples: Iterable[SampleText], known: Mapping[str, Sequence[Feature]]) -> Counter[int]:
    """Return how many samples have each feature."""
    return Counter(feature.hash for sample in samples for feature in known[sample.text])


def _only_inside(
    members: Sequence[SampleText], holders: Mapping[int, int], known: Mapping[str, Sequence[Feature]]
) -> set[int]:
    """Return the features that occur almost only in this group, and in at least half of it. If the group has no shape,
    these features cannot lead to one. A rarer feature may: its texts may be one prompt of several in the group."""
    inside, least = _holders(members, known), MOSTLY * len(members)
    return {feature for feature, count in inside.items() if count >= max(least, INSIDE * holders[feature])}


def primary(known: Sequence[Feature], counts: Mapping[int, int], dead: set[int] | frozenset[int] = frozenset()) -> int:
    """Return the hash of the most telling feature, or 0 if no feature is frequent. Features in `dead` are ignored."""
    frequent = [feature for feature in known if counts[feature.hash] >= FEWEST_REQUESTS and feature.hash not in dead]
    best = max(frequent, key=lambda feature: (counts[feature.hash] * feature.weight, feature.hash), default=None)
    return best.hash if best else 0


def shapes_of(members: Sequence[SampleText], *, in_system: bool = False) -> list[MinedShape]:
    """Return the shapes of one group of texts, or [] if the group has none. Texts that do not fit a shape are
    left out."""
    shared = evidence(members)
    if not shared.suffices:
        return []
    shape = aligned([member.text for member in members], dates_vary=shared.dates_vary)
    if not is_frame(shape, sum(member.count for member in members)):
        return []
    fitting = [member for member in members if shape.values(member.text) is not None]
    groups = separated(shape, fitting, in_system=in_system)
    if groups != [fitting]:
        return [mined for group in groups for mined in shapes_of(group, in_system=in_system)]
    return [MinedShape(shape, tuple(fitting))] if evidence(fitting).suffices else []
