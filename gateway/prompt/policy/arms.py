"""Divides requests among the arms of an experiment: always the same way, and a growing share only adds requests."""

from hashlib import blake2b

from gateway.exchange import CanaryTrial, Exchange


def place(experiment: str, who: str) -> float:
    """The position of `who` in an experiment, from 0 to 1, evenly distributed and always the same.

    The experiment's name is the key of the hash, so that positions in two experiments are independent. A CRC would not
    do: two texts keep the distance of their sums whatever prefix they have.
    """
    key = blake2b(experiment.encode("utf-8", "surrogatepass"), digest_size=32).digest()
    digest = blake2b(who.encode("utf-8", "surrogatepass"), key=key, digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def takes_part(exchange: Exchange, trial: CanaryTrial) -> bool:
    """Whether `who` is in the `share`. Raising the share only adds members."""
    return place(trial.name, sticky_id(exchange)) < trial.share


def sticky_id(exchange: Exchange) -> str:
    """The unit that stays in one arm: the conversation, else the user, else this exchange alone."""
    return exchange.ask.controls.conversation or exchange.ask.user or exchange.id
