"""The passes over the records before mining. Each pass is a task for an executor and reads one portion.

The first pass collects system messages. The second pass counts the features of user messages. The third pass keeps only
messages with a frequent feature, and only some messages per feature, so memory does not grow with the number of
records.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.prompt.found.index import PromptIndex
from offline_jobs.discover.feature_files import FeatureRows, most_telling
from offline_jobs.discover.features import features, hashed
from offline_jobs.discover.known import counters, prompt_index, system_table, write_known
from offline_jobs.discover.sample import SampleText
from offline_jobs.discover.traffic import TrafficPortion, TrafficRequest, requests

MOST_SYSTEMS = 4000
"""How many distinct system messages are kept per key and endpoint. The most frequent messages are kept."""
MOST_OF_GROUP = 200
"""The number of distinct user messages to keep among those with the same most telling feature."""
LONGEST = 400_000
"""The largest number of characters in a text that is mined."""
NO_SYSTEM = -1

Place = tuple[str, str]
"""A client key and an endpoint."""


class PortionCounts(Struct, frozen=True):
    """How many records a portion has, how many of them have readable texts, and how many requests match known
    prompts."""

    records: int
    readable: int
    known: int


class KeptSystems(Struct, frozen=True):
    """The system messages of one key at one endpoint."""

    key: str
    endpoint: str
    samples: list[SampleText]


class Bucket(Struct, frozen=True):
    """User messages that may share a shape. They all follow system messages of one shape, or have no system message."""

    key: str
    endpoint: str
    system: int
    """The number of the system message's shape in the `SystemTable`, or `NO_SYSTEM`."""
    requests: int
    groups: dict[int, list[SampleText]]
    """The kept messages, by the hash of their most telling feature."""
    counts: dict[int, int]
    """The number of requests by the hash of their most telling feature. Requests whose message was not kept are
    included."""


def collect_systems(part: TrafficPortion) -> PortionCounts:
    """Write the system messages of a portion to a file, except those of known prompts."""
    index = prompt_index(str(Path(part.folder) / "known-0.bin"))
    kept: defaultdict[Place, dict[str, SampleText]] = defaultdict(dict)
    records = readable = known = 0
    for request in requests(part):
        records += 1
        if request is None:
            continue
        readable += 1
        if is_known(index, request):
            known += 1
        elif request.system is not None and len(request.system) <= LONGEST:
            add(kept[request.key, request.endpoint], request.sample(request.system))
    write_known(_file(part, "systems"), [KeptSystems(*place, most_frequent(texts)) for place, texts in kept.items()])
    return PortionCounts(records, readable, known)


def count_features(part: TrafficPortion) -> int:
    """Write the features of the user messages of a portion, and how often each feature occurs. Repeated messages count
    every time."""
    rows = FeatureRows()
    for request, _, text, salt in _unknown(part):
        rows.add(request.id, features(text, salt))
    return rows.write(features_file(part))


def collect_messages(part: TrafficPortion) -> int:
    """Write the user messages of a portion that have a frequent feature, grouped by their most telling feature."""
    telling = most_telling(features_file(part), counters(str(Path(part.folder) / "counters.npy")))
    totals: Counter[tuple[str, str, int]] = Counter()
    groups: defaultdict[tuple[str, str, int], defaultdict[int, dict[str, SampleText]]]
    groups = defaultdict(lambda: defaultdict(dict))
    counts: defaultdict[tuple[str, str, int], Counter[int]] = defaultdict(Counter)
    for request, system, text, _ in _unknown(part):
        bucket = (request.key, request.endpoint, system)
        totals[bucket] += 1
        best = telling.get(hashed(request.id), 0)
        if best:
            counts[bucket][best] += 1
            own = groups[bucket][best]
            add(own, request.sample(text))
            if len(own) > 2 * MOST_OF_GROUP:
                groups[bucket][best] = with_least_hashes(own, MOST_OF_GROUP)
    kept = [
        Bucket(*bucket, total, {best: _least(own) for best, own in groups[bucket].items()}, counts[bucket])
        for bucket, total in totals.items()
    ]
    write_known(_file(part, "messages"), kept)
    return len(kept)


def _least(texts: Mapping[str, SampleText]) -> list[SampleText]:
    return list(with_least_hashes(texts, MOST_OF_GROUP).values())


def with_least_hashes(texts: Mapping[str, SampleText], most: int) -> dict[str, SampleText]:
    """Return up to `most` of the texts, those with the smallest hashes. Whether a text is kept does not depend on its
    age."""
    if len(texts) <= most:
        return dict(texts)
    return {text: texts[text] for text in sorted(texts, key=hashed)[:most]}


def add(texts: dict[str, SampleText], sample: SampleText) -> None:
    texts.setdefault(sample.text, SampleText(sample.text)).add(sample)


def most_frequent(texts: Mapping[str, SampleText], most: int = MOST_SYSTEMS) -> list[SampleText]:
    return sorted(texts.values(), key=lambda sample: (-sample.count, sample.text))[:most]


def is_known(index: PromptIndex, request: TrafficRequest) -> bool:
    return index.find_texts(request.key, request.endpoint, request.system, request.last) is not None


def read_part(part: TrafficPortion, name: str, type: Any) -> Any:
    """Return the values that a pass wrote for a portion."""
    return msgspec.msgpack.decode(_file(part, name).read_bytes(), type=type)


def _unknown(part: TrafficPortion) -> Iterator[tuple[TrafficRequest, int, str, str]]:
    """Yield the requests that match no known prompt.

    Each tuple is a request, the number of its system message's shape, the text to mine, and the salt for its features.
    """
    folder = Path(part.folder)
    index, systems = prompt_index(str(folder / f"known-{part.round}.bin")), system_table(str(folder / "systems.bin"))
    for request in requests(part):
        if request is None or len(request.last) > LONGEST or is_known(index, request):
            continue
        system = NO_SYSTEM
        if request.system is not None:
            system = systems.number(request.key, request.endpoint, request.system)
            if system < 0:
                continue
        yield request, system, request.last, f"{request.key}\x1f{request.endpoint}\x1f{system}\x1f"


def features_file(part: TrafficPortion) -> Path:
    """Return the file of a portion's features. The first round writes it, and the others read it."""
    return _file(replace(part, round=0), "features").with_suffix(".npz")


def _file(part: TrafficPortion, name: str) -> Path:
    return Path(part.folder) / f"{name}-{part.round}-{part.number:06d}.bin"
