"""A text in the traffic, what is known about its requests, and the rule that separates fixed text from users' data."""

from collections.abc import Iterable

from msgspec import Struct

FEWEST_REQUESTS = 10
FEWEST_SOURCES = 3
MOST_SOURCES = 8
"""At most this many users and days are kept per text."""


class SampleText(Struct):
    """A distinct text, and the requests that have it. `users` are hashes of user or conversation ids, and `days` are
    days since 1970."""

    text: str
    count: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    users: list[int] = []
    days: list[int] = []

    def add(self, other: "SampleText") -> None:
        self.first_s = min(self.first_s, other.first_s) if self.count else other.first_s
        self.last_s = max(self.last_s, other.last_s)
        self.count += other.count
        self.users = sorted({*self.users, *other.users})[:MOST_SOURCES]
        self.days = sorted({*self.days, *other.days})[:MOST_SOURCES]


class Evidence(Struct, frozen=True):
    """How many requests have a text, from how many users, and on how many days. Users and days are counted up to a
    limit."""

    requests: int
    users: int
    days: int

    @property
    def suffices(self) -> bool:
        """Whether the text counts as fixed text and not as one person's data. Enough requests must have the text, from
        enough users or on enough days."""
        return self.requests >= FEWEST_REQUESTS and max(self.users, self.days) >= FEWEST_SOURCES

    @property
    def dates_vary(self) -> bool:
        """Whether a date that occurs in every request may be the day of sending. A date that stays the same for several
        days is no day of sending."""
        return self.days < FEWEST_SOURCES

    @property
    def lacks(self) -> str:
        """What is missing before the text counts as fixed, in words. Returns "" if nothing is missing."""
        if self.requests < FEWEST_REQUESTS:
            return f"{self.requests} of {FEWEST_REQUESTS} requests"
        if not self.suffices:
            return f"{max(self.users, self.days)} of {FEWEST_SOURCES} users or days"
        return ""


def evidence(samples: Iterable[SampleText]) -> Evidence:
    requests, users, days = 0, set[int](), set[int]()
    for sample in samples:
        requests += sample.count
        users.update(sample.users)
        days.update(sample.days)
    return Evidence(requests, len(users), len(days))
