"""Makes prompts from the mined shapes of system messages and of the user messages that follow them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from gateway.prompt.found.found_prompt import FoundPrompt, PromptVersion, prompt_id
from gateway.prompt.found.shape import OPEN, TextShape
from offline_jobs.discover.frame import MinedShape, MinedShapes
from offline_jobs.discover.known import SystemShape
from offline_jobs.discover.mine import mine
from offline_jobs.discover.passes import NO_SYSTEM, Bucket, with_least_hashes
from offline_jobs.discover.sample import FEWEST_REQUESTS, SampleText

MOST_SAMPLES = 60_000
"""At most this many user messages per bucket are mined."""
MOST_OF_GROUP = 400
FRAMED = 0.97
"""Frames count only if together they match at least this share of the requests with the same system message. If fewer
requests match, users merely write alike."""
LEAST_FRAME = 25
"""The smallest number of characters in the frame of a user message that follows a system message. A frame with a line
break may be shorter."""


def merged_buckets(parts: Iterable[Sequence[Bucket]]) -> list[Bucket]:
    """Join the buckets of all portions.

    If too many texts have the same most telling feature, only those with the smallest hashes are kept.
    """
    whole: dict[tuple[str, str, int], Bucket] = {}
    for buckets in parts:
        for bucket in buckets:
            place = (bucket.key, bucket.endpoint, bucket.system)
            before = whole.get(place)
            whole[place] = bucket if before is None else _joined(before, bucket)
    return [whole[place] for place in sorted(whole)]


def _joined(one: Bucket, two: Bucket) -> Bucket:
    groups: dict[int, list[SampleText]] = dict(one.groups)
    for feature, samples in two.groups.items():
        texts = {sample.text: sample for sample in groups.get(feature, ())}
        for sample in samples:
            if sample.text in texts:
                texts[sample.text].add(sample)
            else:
                texts[sample.text] = sample
        groups[feature] = list(with_least_hashes(texts, MOST_OF_GROUP).values())
    counts = {name: one.counts.get(name, 0) + two.counts.get(name, 0) for name in {**one.counts, **two.counts}}
    return Bucket(one.key, one.endpoint, one.system, one.requests + two.requests, groups, counts)


def prompts_of(buckets: Sequence[Bucket], systems: Sequence[SystemShape]) -> list[FoundPrompt]:
    """Return the prompts in the buckets. Each has one version, whose use is not counted yet."""
    prompts = []
    for bucket in buckets:
        system = None if bucket.system == NO_SYSTEM else systems[bucket.system].shape
        for shape in _lasts(bucket):
            id = prompt_id(bucket.key, bucket.endpoint, (system, shape))
            version = PromptVersion(1, system, shape)
            prompts.append(FoundPrompt(id, id, bucket.key, bucket.endpoint, (version,)))
    return prompts


def _lasts(bucket: Bucket) -> list[TextShape]:
    samples = [sample for group in bucket.groups.values() for sample in group][:MOST_SAMPLES]
    mined = mine(samples)
    if bucket.system != NO_SYSTEM:
        mined = [one for one in mined if _is_frame_below_system(one.shape)]
        if not mined or _covered(bucket, mined) < FRAMED * bucket.requests:
            return [OPEN] if bucket.requests >= FEWEST_REQUESTS else []
    return [one.shape for one in mined]


def _is_frame_below_system(shape: TextShape) -> bool:
    return shape.fixed_chars >= LEAST_FRAME or any("\n" in piece.strip("\n") for piece in shape.pieces)


def _covered(bucket: Bucket, mined: Sequence[MinedShape]) -> float:
    """Estimate from the samples how many requests in a bucket match one of the shapes."""
    covered, fits = 0.0, MinedShapes(mined)
    for feature, samples in bucket.groups.items():
        kept = sum(sample.count for sample in samples)
        read = sum(s.count for s in samples if fits.first(s.text) is not None)
        covered += bucket.counts[feature] * read / max(1, kept)
    return covered


def systems_of(places: Iterable[tuple[str, str, Sequence[SampleText]]]) -> dict[tuple[str, str], dict[str, SampleText]]:
    """Join the system messages of all portions.

    For each pair of client key and endpoint, returns a mapping from the text of a message to its sample.
    """
    whole: defaultdict[tuple[str, str], dict[str, SampleText]] = defaultdict(dict)
    for key, endpoint, samples in places:
        for sample in samples:
            whole[key, endpoint].setdefault(sample.text, SampleText(sample.text)).add(sample)
    return whole
