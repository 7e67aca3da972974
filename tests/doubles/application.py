"""Records of an application that builds its prompts."""

from collections.abc import Sequence

from msgspec.structs import replace

from gateway.ask import Turn
from gateway.records.schema import ExchangeRecord
from tests.doubles.recorded import BEGAN, a_record

DAY_S = 86_400.0
SYSTEM = "You sort tickets of a bank. Answer with one label: card, transfer or loan. Add nothing else."
TICKETS = (
    "my card was swallowed",
    "the transfer to my sister never came",
    "how high is the interest",
    "a payment shows up twice",
    "I want to pay my loan back early",
    "the app does not let me in",
)


def requests(
    texts: Sequence[str], *, system: str = "", first: int = 0, users: int = 5, days: int = 5, key: str = "app"
) -> list[ExchangeRecord]:
    """Return one record per text. Users and days take turns."""
    return [
        _request(first + at, text, system, f"user-{at % users}", BEGAN + (at % days) * DAY_S + first + at, key)
        for at, text in enumerate(texts)
    ]


def _request(number: int, text: str, system: str, user: str, time_s: float, key: str) -> ExchangeRecord:
    turns = (Turn("system", system, 0), Turn("user", text, 1)) if system else (Turn("user", text, 0),)
    return replace(a_record(number, text), turns=turns, user=user, time_s=time_s, key=key)


def tickets(count: int) -> list[str]:
    return [f"{TICKETS[at % len(TICKETS)]}, case {at}" for at in range(count)]


def questions(count: int) -> list[str]:
    """Return user messages that an application builds from a passage and a question."""
    return [
        f"Answer from the passage only.\n\n### Passage\n{TICKETS[at % 6]} in {1990 + at}\n\n### Question\nAbout {at}?"
        for at in range(count)
    ]
