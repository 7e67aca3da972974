"""Reads the fields that `discover` needs from the requests of one portion of the records."""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from gateway.prompt.found.index import readable
from gateway.settings.prices import ModelPrice, TokenUse, cost_of
from offline_jobs.datasets.judge_records import READABLE
from offline_jobs.datasets.recorded import JudgedExchange, Portion, RecordWindow, read
from offline_jobs.discover.features import hashed
from offline_jobs.discover.sample import SampleText

DAY_S = 86_400


class TrafficPortion(Struct, frozen=True):
    """A portion to read. `folder` holds the files of the job."""

    url: str
    window: RecordWindow
    portion: Portion
    folder: str
    prices: dict[str, ModelPrice]
    round: int = 0
    """The round of mining. A round reads only requests that match no prompt of an earlier round."""

    @property
    def number(self) -> int:
        return self.portion.number


class TrafficRequest(Struct, frozen=True):
    """One recorded request. `system` is None if the request has no system message.

    `user` is a hash of the user or conversation, or 0 if neither is known.
    """

    id: str
    key: str
    endpoint: str
    system: str | None
    last: str
    time_s: float
    user: int
    model: str
    prompt_tokens: int
    completion_tokens: int
    cost: float
    total_us: int
    score: float | None
    failed: bool

    @property
    def day(self) -> int:
        return int(self.time_s // DAY_S)

    def sample(self, text: str) -> SampleText:
        users = [self.user] if self.user else []
        return SampleText(text, 1, self.time_s, self.time_s, users, [self.day])


def requests(part: TrafficPortion, *, scored: bool = False) -> Iterator[TrafficRequest | None]:
    """Yield the requests of a portion. Yields None for a record without readable texts, which has only hashes or no
    plain user message. Only with `scored` do they have a score."""
    for seen in read(part.url, part.window, part.portion, judged=scored):
        yield _request(seen, part.prices)


def _request(seen: JudgedExchange, prices: Mapping[str, ModelPrice]) -> TrafficRequest | None:
    record = seen.record
    texts = readable(record.turns) if record.policy == READABLE else None
    if texts is None:
        return None
    scores = [opinion.score for opinion in seen.feedback if opinion.score is not None]
    used = max(0, record.answer.prompt_tokens), max(0, record.answer.completion_tokens)
    model = record.model if record.model in prices else record.upstream
    use = TokenUse(*used, record.answer.cached_tokens, record.answer.reasoning_tokens)
    source = record.user or record.conversation
    return TrafficRequest(
        record.id,
        record.key,
        record.endpoint,
        *texts,
        record.time_s,
        hashed(source) >> 1 if source else 0,
        record.upstream or record.model,
        *used,
        cost_of(prices, model, use, record.time_s),
        record.total_us,
        sum(scores) / len(scores) if scores else None,
        record.ending != "finished" or record.status >= 400,
    )
