"""A text of the traffic with what is known about its requests, and the rule for what may count as fixed text."""

from collections.abc import Iterable

from msgspec import Struct

FEWEST_REQUESTS = 10
FEWEST_SOURCES = 3
MOST_SOURCES = 8
"""More users and days of one text are not remembered."""


class SampleText(Struct):
    """A distinct text, and the requests that had it. `users` are hashes of user or conversation ids; `days` counts days
    since 1970."""

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
    """The requests, users and days that share a text. The numbers of users and days are counted up to a limit."""

    requests: int
    users: int
    days: int

    @property
    def suffices(self) -> bool:
        """Whether the text that they share is fixed text, and not the data of one person."""
        return self.requests >= FEWEST_REQUESTS and max(self.users, self.days) >= FEWEST_SOURCES

    @property
    def dates_vary(self) -> bool:
        """Whether a date that all of them have may be that of the day. The same date on several days is not."""
        return self.days < FEWEST_SOURCES

    @property
    def lacks(self) -> str:
        """What is still missing, in words, or "" if nothing is."""
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
