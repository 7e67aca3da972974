"""Counts the use of prompts: the last pass over the records."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from gateway.prompt.found.found_prompt import FoundPrompt, PartExamples, PromptUse, PromptVersion
from gateway.prompt.found.index import PromptMatch
from gateway.prompt.found.part_types import part_type
from gateway.records.scrub import scrubbed
from offline_jobs.discover.features import hashed
from offline_jobs.discover.known import prompt_index
from offline_jobs.discover.traffic import TrafficPortion, TrafficRequest, requests

MOST_USERS = 1000
"""At most this many users are counted."""
MOST_VALUES = 40
SHOWN = 5
LONGEST_SHOWN = 400
MOST_MODELS = 20


class UsedValues(Struct):
    """Some distinct values of one part. The values with the smallest hashes are kept, so the order of requests does not
    matter."""

    values: dict[int, str] = {}
    longest: int = 0

    def add(self, value: str, hash: int) -> None:
        self.longest = max(self.longest, len(value))
        if len(self.values) >= MOST_VALUES and hash >= max(self.values):
            return
        self.values[hash] = value
        if len(self.values) > MOST_VALUES:
            del self.values[max(self.values)]


class VersionUse(Struct):
    """The use of one version of a prompt, while the use is being counted."""

    id: str
    number: int
    use: PromptUse = PromptUse()
    users: set[int] = set()
    days: set[int] = set()
    values: list[UsedValues] = []
    ambiguous: int = 0

    def count(self, match: PromptMatch, request: TrafficRequest) -> None:
        scored = request.score is not None
        one = PromptUse(
            1, 0, 0, request.time_s, request.time_s, {request.model: 1}, request.prompt_tokens,
            request.completion_tokens, request.cost, request.total_us, int(scored), request.score or 0.0,
            int(request.failed),
        )  # fmt: skip
        self._take(one, {request.user} - {0}, {request.day})
        while len(self.values) < len(match.values):
            self.values.append(UsedValues())
        for own, value in zip(self.values, match.values, strict=False):
            shown = value[:LONGEST_SHOWN]
            own.add(shown, hashed(shown))
            own.longest = max(own.longest, len(value))

    def join(self, other: "VersionUse") -> None:
        self._take(other.use, other.users, other.days)
        while len(self.values) < len(other.values):
            self.values.append(UsedValues())
        for own, more in zip(self.values, other.values, strict=False):
            for hash, value in more.values.items():
                own.add(value, hash)
            own.longest = max(own.longest, more.longest)
        self.ambiguous += other.ambiguous

    def scrub(self) -> None:
        """Remove secrets and personal data from the values, because the ledger keeps the values."""
        for own in self.values:
            own.values = {hash: scrubbed(value) for hash, value in own.values.items()}

    def _take(self, use: PromptUse, users: set[int], days: set[int]) -> None:
        self.use = self.use.plus(use)
        if len(self.use.models) > MOST_MODELS:
            self.use.models.update(dict(Counter(self.use.models).most_common(MOST_MODELS)))
        if len(self.users) < MOST_USERS:
            self.users |= users
        self.days |= days


class CountPortion(Struct, frozen=True):
    """A portion, and the time up to which the use of each known prompt has already been counted."""

    part: TrafficPortion
    counted_s: dict[str, float]


class PortionUse(Struct, frozen=True):
    """The use of prompts in a portion, and the number of requests that match no prompt."""

    uses: list[VersionUse]
    unknown: int


def count_use(task: CountPortion) -> PortionUse:
    """Count the use of each prompt in a portion."""
    index = prompt_index(str(Path(task.part.folder) / "prompts.bin"))
    uses: dict[tuple[str, int], VersionUse] = {}
    unknown = 0
    for request in requests(task.part, scored=True):
        if request is None:
            continue
        match = index.find_texts(request.key, request.endpoint, request.system, request.last)
        if match is None:
            unknown += 1
        elif request.time_s >= task.counted_s.get(match.prompt.id, 0.0):
            _count(uses, match, request)
    for use in uses.values():
        use.scrub()
    return PortionUse(list(uses.values()), unknown)


def _count(uses: dict[tuple[str, int], VersionUse], match: PromptMatch, request: TrafficRequest) -> None:
    place = (match.prompt.id, match.version.number)
    use = uses.setdefault(place, VersionUse(*place))
    use.count(match, request)
    use.ambiguous += match.is_ambiguous(request.system, request.last)


def total_use(portions: Iterable[PortionUse]) -> dict[tuple[str, int], VersionUse]:
    """Add up the use of each version over all portions."""
    whole: dict[tuple[str, int], VersionUse] = {}
    for portion in portions:
        for use in portion.uses:
            whole.setdefault((use.id, use.number), VersionUse(use.id, use.number)).join(use)
    return whole


def with_use(prompts: Sequence[FoundPrompt], uses: dict[tuple[str, int], VersionUse]) -> list[FoundPrompt]:
    """Add the counted use to the prompts. New prompts without use are left out."""
    used = []
    for prompt in prompts:
        for version in prompt.versions:
            use = uses.get((prompt.id, version.number))
            if use is not None:
                prompt = prompt.with_version(_used(version, use))
        if prompt.use.requests:
            used.append(prompt)
    return used


def _used(version: PromptVersion, counted: VersionUse) -> PromptVersion:

    use = replace(counted.use, users=len(counted.users), days=len(counted.days))
    parts = tuple(_examples(values) for values in counted.values) or version.parts
    if len(parts) == len(version.parts):
        parts = tuple(replace(new, name=old.name) for new, old in zip(parts, version.parts, strict=True))
    return replace(version, use=version.use.plus(use), parts=parts, ambiguous=version.ambiguous + counted.ambiguous)


def _examples(values: UsedValues) -> PartExamples:
    ordered = [values.values[hash] for hash in sorted(values.values)]
    shown = tuple(value for value in ordered if value)[:SHOWN]
    return PartExamples(part_type(ordered), shown, values.longest)
