"""Selects the decoder settings of a template that a backend accepts. Some models refuse `temperature` or `stop`."""

from collections.abc import Collection

from msgspec.structs import replace

from gateway.backends.routing.aliases import matches
from gateway.exchange import Exchange, Sampling
from gateway.ports import Backend


def within(exchange: Exchange, accepted: Collection[str]) -> Exchange:
    """Remove the decoder settings that the backend does not accept.

    `max_tokens` stays if the client limits the length of the answer. For example, a translated `/v1/responses` request
    can have such a limit.
    """
    wished = exchange.sampling
    if wished == Sampling.NONE:
        return exchange
    allowed = Sampling(
        wished.max_tokens if "max_tokens" in accepted or exchange.ask.room_tokens else 0,
        wished.temperature if "temperature" in accepted else None,
        wished.stop if "stop" in accepted else (),
    )
    return exchange if allowed == wished else replace(exchange, sampling=allowed)


def accepted_by(backend: Backend, model: str) -> tuple[str, ...]:
    """Return the decoder settings that a backend accepts for a model."""
    cards = sorted(backend.models(), key=lambda card: card.name.endswith("*"))
    return next((card.sampling for card in cards if matches(model, card.name)), ())
