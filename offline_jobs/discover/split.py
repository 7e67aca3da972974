"""Splits the texts of a shape if the values of one part show different prompts, or different versions of one prompt."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from difflib import SequenceMatcher
from itertools import pairwise

from gateway.prompt.found.shape import TextShape
from offline_jobs.discover.sample import FEWEST_REQUESTS, SampleText
from offline_jobs.discover.tokens import masked, words

COVERED = 0.97
"""The texts are split by a part only if its frequent values cover at least this share of the requests."""
FEW_COVERED = 0.8
"""The same for values with fewer requests than a prompt needs. Single requests of other prompts must not hide them."""
MOST_VALUES = 3
MOST_TEXTS = 12
FEWEST_TOLD = 3
"""The smallest number of requests that tell a value apart from others. A prompt needs more of them, so a value that is
told apart may belong to no prompt yet."""
FEWEST_AGREEING = 3
"""The smallest number of parts in which user messages must differ alike before they count as several applications'."""
_INSIDE = re.compile(r"[^\W\d_][^\S\n]+\Z")
"""Matches a piece that ends within a sentence."""
_ANNOUNCED = re.compile(r"[:：\"“]\s*$")
FEWEST_WORDS = 4
LONGEST = 300
"""The largest number of characters in an instruction. Longer values usually are content."""
ALIKE = 0.6
OPENING = 8
"""How many words at the beginning or the end of a long value are compared."""
LEAST_SHARE = 0.1
OVERLAP = 0.02
_FIRST_LABEL = re.compile(r"[A-Z][a-z]{2,24}:(?=\s)")
_MARKERS = re.compile(r"(?:^|\n)[^\S\n]*(?:(\d+)|([A-Za-z]))?([.):*•-])[^\S\n]")

Groups = list[list[SampleText]]


def separated(shape: TextShape, members: Sequence[SampleText], *, in_system: bool = False) -> Groups:
    """Return the members as one group, or as several groups if the values of a part separate them. Members with a rare
    value may be left out.

    In a system message, a long beginning that a few groups have is an instruction. In a user message, a long beginning
    may belong to a document that many requests quote.
    """
    rules = RULES + (((_opening, _are_openings), (_closing, _are_openings)) if in_system else ())
    values = [shape.values(member.text) for member in members]
    columns = [[value[part] if value else "" for value in values] for part in range(shape.parts)]
    if in_system and (together := _changing_together(columns, members)):
        return together
    if not in_system and (apart := _differing_in_kind(columns, members)):
        return apart
    several = not in_system and _agreeing(columns, members) >= FEWEST_AGREEING
    for part, column in enumerate(columns):
        before = shape.pieces[part]
        if not is_label(before) and (texts := _long_texts(column, members)):
            return texts
        if in_system or several or _INSIDE.search(before):
            texts = _rare_texts(column, members, shape.fixed_chars)
            # many users may quote one document, so in a user message one value alone is no other application's
            if len(texts) > (0 if in_system else 1):
                return texts
        for class_of, rule in rules:
            few = in_system and rule is not _are_versions
            groups = _grouped(column, members, class_of, least=FEWEST_TOLD if few else FEWEST_REQUESTS)
            if groups and rule(groups):
                return list(groups.values())
    return [list(members)]


def _changing_together(columns: Sequence[Sequence[str]], members: Sequence[SampleText]) -> Groups:
    """Group the members by the value of a part, if another part with different values gives the same groups.

    Returns [] if there are no such parts. If the two parts have equal values, such as the name of a language, the
    members are one prompt and are not divided.
    """
    seen: dict[frozenset[frozenset[int]], Sequence[str]] = {}
    for column in columns:
        groups = _grouped(column, members, str)
        if not groups:
            continue
        places = frozenset(frozenset(map(id, group)) for group in groups.values())
        other = seen.setdefault(places, column)
        if any(one.strip() != two.strip() for one, two in zip(column, other, strict=True)):
            return list(groups.values())
    return []


def _differing_in_kind(columns: Sequence[Sequence[str]], members: Sequence[SampleText]) -> Groups:
    """Group the members by the value of a part, such as an optional instruction, if the value tells in what list or
    under what label another part has its content.

    An optional section alone is a part of one prompt. What differs in two places at once is two prompts.
    """
    for number, column in enumerate(columns):
        groups = _grouped(column, members, str)
        if not any(words(str(name)) >= FEWEST_WORDS for name in groups):
            continue
        for other in (*columns[:number], *columns[number + 1 :]):
            if any(_tells(column, other, groups, kind) for kind in (_marker, _label)):
                return list(groups.values())
    return []


def _tells(column: Sequence[str], other: Sequence[str], names: Iterable[Hashable], kind: Callable[[str], str]) -> bool:
    """Return whether almost all values of the other part are of one kind for each name, and of different kinds for
    different names."""
    kinds = {name: Counter(kind(two) for one, two in zip(column, other, strict=True) if one == name) for name in names}
    most = [counts.most_common(1)[0] for counts in kinds.values()]
    steady = all(count >= COVERED * counts.total() for (_, count), counts in zip(most, kinds.values(), strict=True))
    return steady and len({name for name, _ in most}) == len(kinds)


def _label(value: str) -> str:
    """Return the label with which a value begins, such as `Question:`, or ""."""
    match = _FIRST_LABEL.match(value)
    return match[0] if match else ""


def _agreeing(columns: Sequence[Sequence[str]], members: Sequence[SampleText]) -> int:
    """Return how many parts divide the members alike by several sentences, each of which several requests have.

    A document that is quoted several times has one such part, and a second one if its title is long.
    """
    seen: Counter[tuple[int, ...]] = Counter()
    for column in columns:
        counts: Counter[str] = Counter()
        for value, member in zip(column, members, strict=True):
            counts[value] += member.count
        common = {value: at for at, value in enumerate(counts) if counts[value] >= FEWEST_TOLD}
        if len(common) > 1 and sum(words(value) >= FEWEST_WORDS for value in common) >= len(common) - 1:
            seen[tuple(common.get(value, -1) for value in column)] += 1
    return max(seen.values(), default=0)


def is_label(piece: str) -> bool:
    """Return whether a fixed piece announces content, which means that it ends with a colon or a quotation mark."""
    return bool(_ANNOUNCED.search(piece))


def _long_texts(column: Sequence[str], members: Sequence[SampleText]) -> Groups:
    """Group the members by the value of a part if a few long values cover almost all requests. Otherwise, return [].

    Such values are the prompts of several applications that begin and end alike.
    """
    groups = _grouped(column, members, str, most=MOST_TEXTS)
    names = [str(name) for name in groups]
    is_long = any(len(name) > LONGEST for name in names) and all(words(name) >= FEWEST_WORDS for name in names)
    return list(groups.values()) if is_long else []


def _rare_texts(column: Sequence[str], members: Sequence[SampleText], fixed_chars: int) -> Groups:
    """Do the same if some of the values have fewer requests than a prompt needs, and leave out those with one or two.
    One of the values must be longer than the fixed text of the shape, since users may also quote a document several
    times. A single group is returned if all others are left out.
    """
    counts: Counter[str] = Counter()
    for value, member in zip(column, members, strict=True):
        counts[value] += member.count
    common = {value for value, count in counts.items() if count >= FEWEST_TOLD and words(value) >= FEWEST_WORDS}
    covered = sum(counts[value] for value in common)
    if max(map(len, common), default=0) <= max(LONGEST, fixed_chars) or covered < FEW_COVERED * counts.total():
        return []
    groups: defaultdict[str, list[SampleText]] = defaultdict(list)
    for value, member in zip(column, members, strict=True):
        if value in common and len(counts) > 1:
            groups[value].append(member)
    return list(groups.values())


def _grouped(
    column: Sequence[str],
    members: Sequence[SampleText],
    class_of: Callable[[str], Hashable],
    most: int = MOST_VALUES,
    least: int = FEWEST_REQUESTS,
) -> dict[Hashable, list[SampleText]]:
    """Group the members by the class of their value. Rare classes are left out, and at most `most` classes are kept.

    Returns {} if fewer than two classes are kept, or if the kept classes do not cover almost all requests.
    """
    classes = [class_of(value) for value in column]
    counts: Counter[Hashable] = Counter()
    for name, member in zip(classes, members, strict=True):
        counts[name] += member.count
    total = sum(counts.values())
    share = LEAST_SHARE * total if most == MOST_VALUES else 0.0
    common = {name for name, count in counts.most_common(most) if count >= max(least, share)}
    if len(common) < 2 or sum(counts[name] for name in common) < COVERED * total:
        return {}
    groups: defaultdict[Hashable, list[SampleText]] = defaultdict(list)
    for name, member in zip(classes, members, strict=True):
        if name in common:
            groups[name].append(member)
    return groups


def _are_versions(groups: dict[Hashable, list[SampleText]]) -> bool:
    """Return whether each value came into use when the previous value went out of use, as in a new deployment of a
    program."""
    return follow_each_other(list(groups.values()))


def follow_each_other(groups: Groups) -> bool:
    spans = sorted((min(s.first_s for s in group), max(s.last_s for s in group)) for group in groups)
    slack = OVERLAP * (max(end for _, end in spans) - spans[0][0])
    return all(after[0] >= before[1] - slack for before, after in pairwise(spans)) and slack > 0


def _are_alternatives(groups: dict[Hashable, list[SampleText]]) -> bool:
    """Return whether the values are different instructions, rather than labels, names or content."""
    values = [str(name) for name in groups]
    if any(len(value) > LONGEST or words(value) < FEWEST_WORDS for value in values):
        return False
    return _unlike(values)


def _opening(value: str) -> str:
    """Return the first words of a long value, or "" if the value is short."""
    parts = value.split(None, OPENING)
    return " ".join(parts[:OPENING]) if len(parts) > OPENING else ""


def _closing(value: str) -> str:
    parts = value.rsplit(None, OPENING)
    return " ".join(parts[-OPENING:]) if len(parts) > OPENING else ""


def _are_openings(groups: dict[Hashable, list[SampleText]]) -> bool:
    return "" not in groups and _unlike([str(name) for name in groups])


def _unlike(values: Sequence[str]) -> bool:
    """Return whether no two values share most of their words."""
    split = [value.split() for value in values]
    return all(
        SequenceMatcher(None, split[one], split[two], autojunk=False).ratio() < ALIKE
        for one in range(len(split))
        for two in range(one)
    )


def _marker(value: str) -> str:
    """Return the most frequent kind of list marker in a value, such as `letter.` or `-`, or "" if the value has no
    list."""
    kinds = Counter(("number" if n else "letter" if a else "") + mark for n, a, mark in _MARKERS.findall(value))
    if not kinds:
        return ""
    kind, count = kinds.most_common(1)[0]
    return kind if count >= 2 else ""


def _are_markers(groups: dict[Hashable, list[SampleText]]) -> bool:
    return "" not in groups


RULES: tuple[tuple[Callable[[str], Hashable], Callable[[dict[Hashable, list[SampleText]]], bool]], ...] = (
    (str, _are_versions),
    (masked, _are_versions),
    (_opening, _are_versions),
    (_closing, _are_versions),
    (str, _are_alternatives),
    (_marker, _are_markers),
)
"""Pairs of functions. The first one puts a value into a class. The second one decides whether the classes are separate
prompts."""
