"""The deployments of a model, and the order in which a request tries them."""

import math
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import BadRequest
from gateway.exchange import Exchange, Note, Target
from gateway.settings.models import Ability, SpreadStrategy

EXPLORED = 0.05
"""Under the strategy `fastest`, this share of the requests tries a randomly chosen deployment first, since the speed of
that deployment may have changed.
"""
PREFIX_CHARS = 4096
"""A conversation without an id is recognised by this many characters from the start of each of its first messages."""


class Live(Protocol):
    """Current figures about deployments."""

    def running(self, target: Target) -> int:
        """Return the number of requests that the target's backend is answering."""
        ...

    def first_byte_s(self, target: Target) -> float | None:
        """Return the usual time to the first byte in seconds, or None if it was not measured yet."""
        ...


class RoutedDeployment(Struct, frozen=True):
    """A target with the figures that strategies compare. `price` is the price of a million prompt tokens plus the price
    of a million answer tokens.
    """

    target: Target
    weight: float = 1.0
    order: int = 0
    tags: frozenset[str] = frozenset()
    abilities: frozenset[Ability] | None = None
    price: float = 0.0
    intents: tuple[str, ...] = ()
    """The intents of prompts that this deployment answers first, under the strategy `intent`."""


class DeploymentGroup(Struct, frozen=True):
    """The deployments that answer requests for one model name."""

    name: str
    strategy: SpreadStrategy
    deployments: tuple[RoutedDeployment, ...]

    @property
    def targets(self) -> tuple[Target, ...]:
        """The targets, sorted by the `order` of their deployments."""
        by_order = sorted(self.deployments, key=lambda deployment: deployment.order)
        return tuple([deployment.target for deployment in by_order])


def with_tags(groups: Sequence[DeploymentGroup], tags: Sequence[str]) -> tuple[DeploymentGroup, ...]:
    """Return the groups with only those deployments that have all of these tags. A group without any is left out."""
    if not tags:
        return tuple(groups)
    kept = [(group, tuple([each for each in group.deployments if each.tags.issuperset(tags)])) for group in groups]
    return tuple([replace(group, deployments=deployments) for group, deployments in kept if deployments])


def no_such_tags(group: DeploymentGroup, tags: Sequence[str]) -> BadRequest:
    """Return the error for a request whose model has no deployment with all of these tags."""
    known = ", ".join(sorted({tag for deployment in group.deployments for tag in deployment.tags})) or "none"
    return BadRequest(
        f"No deployment of the model {group.name!r} has the tags {', '.join(tags)}. Known tags: {known}.",
        param="foreword.tags",
    )


Chance = Callable[[], float]
"""Returns a random number that is at least 0 and less than 1."""


def sorted_targets(
    group: DeploymentGroup, exchange: Exchange, live: Live, chance: Chance
) -> tuple[tuple[Target, ...], Note | None]:
    """Return the targets in the order in which to try them, and a note on the choice."""
    if len(group.deployments) == 1 and not exchange.ask.controls.tags:
        return (group.deployments[0].target,), None
    suitable = _suitable(group.deployments, exchange)
    keys = _keys(group.strategy, suitable, exchange, live, chance)
    by_key = sorted(zip(keys, suitable, strict=True), key=lambda pair: (pair[1].order, pair[0]))
    targets = tuple([deployment.target for _, deployment in by_key])
    first = targets[0]
    data = {"backend": first.backend, "model": first.model, "deployments": len(targets)}
    return targets, Note("route", "deployment", f"{group.name}: {group.strategy.value}", data)


def _suitable(deployments: tuple[RoutedDeployment, ...], exchange: Exchange) -> tuple[RoutedDeployment, ...]:
    """Return the deployments that have all abilities the request needs, and a window long enough for the prompt and the
    answer.

    A condition that no deployment meets is ignored. The backend then decides whether to answer.
    """
    if any(deployment.abilities is not None for deployment in deployments):
        needs = needs_of(exchange)
        able = [
            deployment
            for deployment in deployments
            if deployment.abilities is None or deployment.abilities.issuperset(needs)
        ]
        deployments = tuple(able) or deployments
    windows = {deployment.target.window_tokens for deployment in deployments}
    if len(windows) > 1:
        tokens = len(exchange.ask.raw) // 4 + exchange.ask.room_tokens
        wide = [deployment for deployment in deployments if not 0 < deployment.target.window_tokens < tokens]
        deployments = tuple(wide) or deployments
    return deployments


def needs_of(exchange: Exchange) -> frozenset[Ability]:
    ask, needs = exchange.ask, set[Ability]()
    if ask.has_tools:
        needs.add("tools")
    if ask.has_format:
        needs.add("schema")
    if not all(turn.plain for turn in ask.turns) and (b'"image_url"' in ask.raw or b'"input_image"' in ask.raw):
        needs.add("vision")
    return frozenset(needs)


def _keys(
    strategy: SpreadStrategy,
    deployments: tuple[RoutedDeployment, ...],
    exchange: Exchange,
    live: Live,
    chance: Chance,
) -> list[tuple[float, float]]:
    """Return a key for each deployment. The deployment with the smallest key is tried first.

    Under a strategy that compares figures, deployments with equal figures are ordered at random, in proportion to their
    weights.
    """
    drawn = [_race(deployment.weight, chance()) for deployment in deployments]
    match strategy:
        case SpreadStrategy.CONVERSATION:
            unit = conversation_of(exchange)
            return [(_race(entry.weight, _place(unit, entry.target)), 0.0) for entry in deployments]
        case SpreadStrategy.LEAST_BUSY:
            busy = [live.running(entry.target) / entry.weight for entry in deployments]
            return list(zip(busy, drawn, strict=True))
        case SpreadStrategy.CHEAPEST:
            return [(entry.price, place) for entry, place in zip(deployments, drawn, strict=True)]
        case SpreadStrategy.FASTEST:
            # from time to time, a randomly chosen deployment is tested
            explored = deployments[int(chance() * len(deployments))] if chance() < EXPLORED else None
            waits = _expected_waits(deployments, live)
            times = [0.0 if entry is explored else wait for entry, wait in zip(deployments, waits, strict=True)]
            return list(zip(times, drawn, strict=True))
        case _:
            return [(place, 0.0) for place in drawn]


def _expected_waits(deployments: tuple[RoutedDeployment, ...], live: Live) -> list[float]:
    """Return how long each deployment's next request is expected to wait for its first byte, in seconds.

    That is the usual time, multiplied by one more than the number of running requests (as in Finagle's "peak EWMA").
    The usual time alone would send all clients to the same deployment until its mean rises. One request tests a
    deployment without a measurement. Until it is answered, the deployment counts as the slowest.
    """
    measured = [live.first_byte_s(entry.target) for entry in deployments]
    slowest = max((time for time in measured if time is not None), default=1.0)
    waits = []
    for entry, time in zip(deployments, measured, strict=True):
        running = live.running(entry.target)
        if time is None:
            time = slowest if running else 0.0
        waits.append(time * (1 + running))
    return waits


def _race(weight: float, number: float) -> float:
    """Return the arrival time of a deployment in an exponential race (Efraimidis and Spirakis, 2006). `number` is
    random.

    Sorting the deployments by their times draws them one after the other, each in proportion to its weight.
    """
    return -math.log(1.0 - number) / weight


def _place(unit: str, target: Target) -> float:
    """Return a number from 0 to 1 that is fixed for a conversation and a target (rendezvous hashing).

    If a deployment is added or removed, only the conversations of this deployment move. All others keep their
    deployment.
    """
    digest = sha256(f"{target.backend}\n{target.model}\n{unit}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def conversation_of(exchange: Exchange) -> str:
    """Return the id that the client gave to the conversation. Without an id, return the beginning of the conversation's
    first messages.

    The first messages are the same in every turn, and prompt caches compare them too.
    """
    ask = exchange.ask
    if ask.controls.conversation:
        return f"{exchange.key.name}\n{ask.controls.conversation}"
    first = next((place for place, turn in enumerate(ask.turns) if turn.role == "user"), len(ask.turns) - 1)
    texts = "\n".join([turn.text[:PREFIX_CHARS] for turn in ask.turns[: first + 1]])
    return f"{exchange.key.name}\n{texts}" if texts.strip() else exchange.id
