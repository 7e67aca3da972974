"""Assigns requests to the arms of an experiment. A request stays in its arm; a larger share only adds requests."""

from hashlib import blake2b

from msgspec import Struct

from gateway.exchange import Arm, CanaryTrial, Exchange
from gateway.prompt.templates.template import Template


class RewriteDecision(Struct, frozen=True):
    """The version to use and its arm, with a reason. With `Arm.NONE`, the prompt is not changed."""

    template: Template | None
    arm: Arm
    why: str = ""
    proven: tuple[str, ...] | None = None
    """The models of the route that may get the rewritten prompt, or None for all."""
    controls: float = 0.0
    """The share of controls when the decision was made, or 0 without controls."""

    @property
    def speaks(self) -> bool:
        return self.arm in (Arm.STABLE, Arm.CANARY)


def place(experiment: str, unit: str) -> float:
    """Return the position of `unit` in an experiment, from 0 to 1. Positions are evenly spread and never change.

    The hash has the experiment's name as its key, so that positions in two experiments are independent. A CRC is
    unsuitable: the difference between the CRCs of two texts is the same with every prefix.
    """
    key = blake2b(experiment.encode("utf-8", "surrogatepass"), digest_size=32).digest()
    digest = blake2b(unit.encode("utf-8", "surrogatepass"), key=key, digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def takes_part(exchange: Exchange, trial: CanaryTrial) -> bool:
    """Return whether the exchange belongs to the share of the trial. A larger share includes all members of a smaller
    one.
    """
    return place(trial.name, sticky_id(exchange)) < trial.share


def sticky_id(exchange: Exchange) -> str:
    """Return the id that decides the arm: that of the conversation, else of the user, else of this exchange."""
    return exchange.ask.controls.conversation or exchange.ask.user or exchange.id
