"""Who is on which side of an experiment: the same side each time, and more on the one side as its share grows."""

from hashlib import blake2b

from gateway.exchange import CanaryTrial, Exchange


def place(experiment: str, who: str) -> float:
    """Where `who` stands in an experiment, from 0 to 1, evenly spread and always the same.

    The experiment's name is the key of the hash, so that places in two experiments have nothing to do with
    each other. A CRC would not do: two texts keep the distance of their sums whatever is put before them.
    """
    key = blake2b(experiment.encode("utf-8", "surrogatepass"), digest_size=32).digest()
    digest = blake2b(who.encode("utf-8", "surrogatepass"), key=key, digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def takes_part(exchange: Exchange, trial: CanaryTrial) -> bool:
    """Whether this one is among the `share`. Raising the share takes nobody out again."""
    return place(trial.name, sticky_id(exchange)) < trial.share


def sticky_id(exchange: Exchange) -> str:
    """Who stays on their side: the conversation, else the user, else nobody beyond this exchange."""
    return exchange.ask.controls.conversation or exchange.ask.user or exchange.id
