"""Which of a template's decoder settings a backend is sent: some models refuse `temperature` or `stop` outright."""

from collections.abc import Collection

from msgspec.structs import replace

from gateway.backends.route import matches
from gateway.exchange import Exchange, Sampling
from gateway.ports import Backend


def within(exchange: Exchange, accepted: Collection[str]) -> Exchange:
    """The exchange with the wishes that are accepted. The answer's length stays where the client gave one: it stands
    here when a request for a response is translated."""
    wished = exchange.sampling
    if wished == Sampling.NONE:
        return exchange
    kept = Sampling(
        wished.max_tokens if "max_tokens" in accepted or exchange.ask.room_tokens else 0,
        wished.temperature if "temperature" in accepted else None,
        wished.stop if "stop" in accepted else (),
    )
    return exchange if kept == wished else replace(exchange, sampling=kept)


def accepted_by(backend: Backend, model: str) -> tuple[str, ...]:
    """The wishes that a backend accepts for a model."""
    cards = sorted(backend.models(), key=lambda card: card.name.endswith("*"))
    return next((card.sampling for card in cards if matches(model, card.name)), ())
