"""Assigns requests to the arms of an experiment.

The arm of a request never changes while the share stays the same. A larger share adds requests and removes none.
"""

from hashlib import blake2b

from msgspec import Struct

from gateway.exchange import Arm, CanaryTrial, Exchange
from gateway.prompt.templates.template import Template


class RewriteDecision(Struct, frozen=True):
    """The template version to use, its arm, and the reason. With `Arm.NONE`, the prompt is not changed."""

    template: Template | None
    arm: Arm
    why: str = ""
    proven: tuple[str, ...] | None = None
    """The models on the route that may get the rewritten prompt. None means all models."""
    controls: float = 0.0
    """The share of controls at the time of the decision, or 0 if there are no controls."""

    @property
    def speaks(self) -> bool:
        return self.arm in (Arm.STABLE, Arm.CANARY)


def place(experiment: str, unit: str) -> float:
    """Return the position of `unit` in an experiment, from 0 to 1. Positions are evenly distributed and never change.

    The name of the experiment is the key of the hash, so a unit's positions in two experiments are independent. A CRC
    of the name and the unit would not be suitable: the difference between the CRCs of two units is the same in every
    experiment.
    """
    key = blake2b(experiment.encode("utf-8", "surrogatepass"), digest_size=32).digest()
    digest = blake2b(unit.encode("utf-8", "surrogatepass"), key=key, digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def takes_part(exchange: Exchange, trial: CanaryTrial) -> bool:
    """Return whether the exchange is in the trial's share.

    If the share grows, the exchanges that were in it before stay in it.
    """
    return place(trial.name, sticky_id(exchange)) < trial.share


def sticky_id(exchange: Exchange) -> str:
    """Return the id that decides the arm: the id of the conversation, else of the user, else of this exchange."""
    return exchange.ask.controls.conversation or exchange.ask.user or exchange.id
