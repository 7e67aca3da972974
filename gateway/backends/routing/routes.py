"""Finds the backends for a model's name, in the order in which they are tried."""

from collections.abc import Mapping, Sequence
from hashlib import sha256

from msgspec import Struct

from gateway.ask import ClientKey, Endpoint, Mode
from gateway.backends.routing.aliases import Aliases, matches
from gateway.backends.routing.broken import NOTHING_BROKEN, BrokenParts
from gateway.backends.routing.configured import deployment_problems, deployments_of, is_broken
from gateway.backends.routing.deployments import DeploymentGroup, RoutedDeployment
from gateway.errors import KeyNotAllowed, NotFound, Problem
from gateway.exchange import CanaryTrial, Target
from gateway.ports import Backend, ModelCard
from gateway.settings.jobs import Price
from gateway.settings.models import Deployment, Mirror, ModelTable, SpreadStrategy

AUTO = ("", "auto")
NO_ALIASES = Aliases()
LONGEST_NAME = 256
MOST_NAMES = 10_000


class Offer(Struct, frozen=True):
    """A model card, and the backend that offers the model."""

    backend: str
    card: ModelCard

    def serves(self, name: str, endpoint: Endpoint) -> bool:
        return self.card.answers(endpoint) and matches(name, self.card.name)


class Route(Struct, frozen=True):
    """The deployments of a model, followed by the deployments of its fallbacks.

    `targets` has the targets of all these deployments, in the order of the configuration. `is_fixed` tells whether
    every request tries the targets in that order.
    """

    groups: tuple[DeploymentGroup, ...]
    targets: tuple[Target, ...]
    is_fixed: bool


class Routes:
    """Finds targets by a model's name.

    A name is looked up among the names in `[models.x]`, the model names of the backends, and the aliases. If it is none
    of these, it is compared with the patterns of the aliases, and then with those of the backends. If several patterns
    match, the longest one is used.
    """

    def __init__(
        self,
        models: Mapping[str, ModelTable],
        backends: Mapping[str, Backend],
        default: str,
        aliases: Aliases = NO_ALIASES,
        prices: Mapping[str, Price] | None = None,
    ) -> None:
        """`prices` are the prices of models. They apply to deployments without a price of their own."""
        self._models = models
        self._aliases = aliases
        self._prices = prices or {}
        offers = [Offer(name, card) for name, backend in backends.items() for card in backend.models()]
        # names come before patterns and long patterns before short ones, whatever the order of the tables in the file
        self._offers = sorted(offers, key=_rank)
        self._own = frozenset((*models, *[each.card.name for each in offers if not each.card.name.endswith("*")]))
        self._default = default
        self._known: dict[tuple[str, Endpoint], Route] = {}

        self._meant: dict[str, str] = {}

    def targets(self, name: str, endpoint: Endpoint) -> tuple[Target, ...]:
        """Return the targets for a model, in the order of the configuration. Raises `NotFound` for an unknown model."""
        return self.route(name, endpoint).targets

    def route(self, name: str, endpoint: Endpoint) -> "Route":
        """Return the deployments of a model, followed by the deployments of its fallbacks. Raises `NotFound` for an
        unknown model.
        """
        route = self._known.get((name, endpoint))
        if route is None:
            route = self._find(name, endpoint)
            # clients choose the names for a pattern, so the cache has a limit
            if len(name) <= LONGEST_NAME and len(self._known) < MOST_NAMES:
                self._known[name, endpoint] = route
        return route

    def mode(self, name: str) -> Mode | None:
        """Return the mode that `[models.x]` sets for a model, or None."""
        model = self._models.get(self._meaning(name))
        return model.mode if model else None

    def trial(self, name: str) -> CanaryTrial | None:
        """Return the experiment that `[models.x] canary` sets for a model, or None."""
        name = self._meaning(name)
        model = self._models.get(name)
        return None if model is None or model.canary is None else CanaryTrial(f"models.{name}", model.canary)

    @property
    def intents(self) -> frozenset[str]:
        """The intents and patterns that deployments name for the strategy `intent`."""
        entries = [entry for model in self._models.values() for entry in model.deployments]
        return frozenset(intent for entry in entries for intent in entry.intents)

    def mirror(self, name: str) -> Mirror | None:
        """Return the table `[models.x.mirror]` of a model, or None."""
        model = self._models.get(self._meaning(name))
        return model.mirror if model else None

    @property
    def has_mirrors(self) -> bool:
        return any(model.mirror is not None for model in self._models.values())

    def shared(self, name: str, unit: str) -> str:
        """Return the model that answers this conversation in place of model `name`, because of `[models.x] shares`.
        Returns "" if the model `name` itself answers.
        """
        name = self._meaning(name)
        model = self._models.get(name)
        if model is None or not model.shares:
            return ""
        place = int.from_bytes(sha256(f"{name}\n{unit}".encode()).digest()[:8], "big") / 2**64
        for other, share in model.shares.items():
            if place < share:
                return other
            place -= share
        return ""

    def names(self) -> list[tuple[str, str]]:
        """Return pairs of a name and a backend, for all names of models and all aliases. Patterns are left out."""
        listed = {name: deployments_of(model)[0].backend for name, model in self._models.items()}
        for offer in self._offers:
            if not offer.card.name.endswith("*"):
                listed.setdefault(offer.card.name, offer.backend)
        for alias, model in self._aliases.names():
            listed.setdefault(alias, self.owner(model) or "")
        return list(listed.items())

    def open_ended(self) -> list[str]:
        """Return the backends that offer models by a pattern. The gateway cannot list all their models."""
        return list(dict.fromkeys(offer.backend for offer in self._offers if offer.card.name.endswith("*")))

    def owner(self, name: str) -> str | None:
        """Return the name of the backend that serves a model, or None for an unknown model."""
        name = self._meaning(name)
        model = self._models.get(name)
        if model is not None:
            return deployments_of(model)[0].backend
        return next((offer.backend for offer in self._offers if matches(name, offer.card.name)), None)

    def passing(self, name: str) -> Target | None:
        """Return the target of a request that passes through unchanged, or None for an unknown model. The first
        deployment of a model gets all such requests, since they may concern objects that it stores.
        """
        name = self._meaning(name)
        model = self._models.get(name)
        if model is not None:
            first = deployments_of(model)[0]
            return Target(first.backend, first.upstream or name)
        return next((Target(offer.backend, name) for offer in self._offers if matches(name, offer.card.name)), None)

    def problems(self, file: str, refiner: str = "", broken: BrokenParts = NOTHING_BROKEN) -> list[Problem]:
        """Return the mistakes in `[models]`, `[routing]` and `[refiner]`.

        A name that a broken table may define is not reported as unknown.
        """
        backends = sorted({*[offer.backend for offer in self._offers], *broken.backends})
        problems = []

        def check(where: str, name: str) -> None:
            if name and not self._serves(name) and not broken.may_serve(name):
                problems.append(Problem(f"{file} {where}", f"no model {name!r}", self._known_models()))

        for name, model in self._models.items():
            where = f"[models.{name}]"
            if name not in broken.models:
                problems += deployment_problems(f"{file} {where}", model, backends)
            check(f"{where} fallback", model.fallback)
            if name in self._chain(model.fallback):
                what = f"leads back to {name!r}: {' -> '.join([name, *self._chain(model.fallback)])}"
                problems.append(Problem(f"{file} {where} fallback", what, "Remove one of these fallbacks."))
            for other in model.shares:
                check(f"{where} shares", other)
            if model.mirror is not None:
                check(f"{where} mirror model", model.mirror.model)
            if sum(model.shares.values()) > 1:
                problems.append(Problem(f"{file} {where} shares", "their sum is more than 1"))
            if model.longer and not broken.may_serve(model.longer) and not is_broken(model, broken):
                problems += self._longer_problems(f"{file} {where} longer", name, model)
        check("[routing] default", self._default)
        check("[routing] unknown", self._aliases.unknown)
        for alias, meant in self._aliases.models.items():
            check(f"[routing.aliases] {alias!r}", meant)
        problems += self._aliases.problems(file, self._own)
        check("[refiner] model", refiner)
        return problems

    def name(self, name: str, endpoint: Endpoint) -> str:
        """Return the name of the model that a client means by `name`: the default for `auto`, the model to which
        `[routing]` maps the name, or `name` itself.
        """
        return self._default_for(endpoint) if name in AUTO else self._meaning(name)

    def alias(self, name: str) -> str:
        """Return the alias by which a request names its model, or "" if the request uses no alias. The alias can be a
        pattern.
        """
        return "" if name in self._own else self._aliases.of(name)

    def _meaning(self, name: str) -> str:
        """Return the name of the model that `name` stands for. If `name` is not in `AUTO` and `[routing]` does not map
        it to a model, `name` itself is returned.
        """
        if name in AUTO:
            return self._default
        if not self._aliases or name in self._own:
            return name
        meant = self._meant.get(name)
        if meant is None:
            meant = self._find_meaning(name)
            if len(name) <= LONGEST_NAME and len(self._meant) < MOST_NAMES:
                self._meant[name] = meant
        return meant

    def _find_meaning(self, name: str) -> str:
        if alias := self._aliases.of(name):
            return self._aliases.models[alias]
        return name if self._serves(name) else self._aliases.unknown or name

    def _find(self, name: str, endpoint: Endpoint) -> Route:
        chosen = self.name(name, endpoint)
        model = self._models.get(chosen)
        names = [chosen, *(self._chain(model.fallback) if model else ())]
        groups = tuple([group for entry in names if (group := self._group(entry, endpoint)) is not None])
        if not groups:
            raise NotFound(
                f"The model {name!r} does not exist for /v1/{endpoint}. {self._known_models(endpoint)} The gateway's "
                "configuration can let this name mean one of them: [routing] aliases, or unknown.",
                param="model",
                code="model_not_found",
            )
        is_fixed = all(len(group.deployments) == 1 for group in groups)
        return Route(groups, tuple([target for group in groups for target in group.targets]), is_fixed)

    def _chain(self, name: str) -> list[str]:
        """Return `name`, the fallback of this model, the fallback of the fallback, and so on. No name occurs twice."""
        chain: list[str] = []
        while name and name not in chain:
            chain.append(name)
            model = self._models.get(name)
            name = model.fallback if model else ""
        return chain

    def _group(self, name: str, endpoint: Endpoint) -> DeploymentGroup | None:
        """Return the deployments of a model without its fallbacks, or None if the model does not serve the endpoint."""
        model = self._models.get(name)
        if model:
            deployments = tuple([self._deployment(name, model, entry, endpoint) for entry in deployments_of(model)])
            return DeploymentGroup(name, model.strategy, deployments)
        for offer in self._offers:
            if offer.serves(name, endpoint):
                deployment = RoutedDeployment(_target(offer.backend, name, offer.card))
                return DeploymentGroup(name, SpreadStrategy.WEIGHTED, (deployment,))
        return None

    def _deployment(self, name: str, model: ModelTable, entry: Deployment, endpoint: Endpoint) -> RoutedDeployment:
        upstream = entry.upstream or name
        longer = self._group(model.longer, endpoint) if model.longer else None
        target = _target(
            entry.backend,
            upstream,
            self._card(entry.backend, upstream),
            entry.window_tokens or model.window_tokens,
            longer.targets[0] if longer else None,
            repeat=model.repeat,
            hedge_s=model.hedge_s or 0.0,
        )
        price = entry.price or self._prices.get(upstream) or self._prices.get(name) or Price()
        abilities = None if entry.abilities is None else frozenset(entry.abilities)
        return RoutedDeployment(
            target,
            entry.weight,
            entry.order,
            frozenset(entry.tags),
            abilities,
            price.prompt + price.completion,
            entry.intents,
        )

    def _default_for(self, endpoint: Endpoint) -> str:
        """Return the default model. If the configured default does not serve the endpoint, return the first model that
        does.
        """
        if any(offer.serves(self._default, endpoint) for offer in self._offers) or self._default in self._models:
            return self._default
        for offer in self._offers:
            if offer.card.answers(endpoint) and not offer.card.name.endswith("*"):
                return offer.card.name
        return self._default

    def _card(self, backend: str, upstream: str) -> ModelCard | None:
        for offer in self._offers:
            if offer.backend == backend and matches(upstream, offer.card.name):
                return offer.card
        return None

    def _window(self, name: str) -> int:
        """Return the window of a model in tokens, or 0 if the window is unknown."""
        model = self._models.get(name)
        if model is None:
            return next((offer.card.window_tokens for offer in self._offers if matches(name, offer.card.name)), 0)
        first = deployments_of(model)[0]
        card = self._card(first.backend, first.upstream or name)
        return first.window_tokens or model.window_tokens or (card.window_tokens if card else 0)

    def _longer_problems(self, where: str, name: str, model: ModelTable) -> list[Problem]:
        """Return the mistakes in `longer`. The model in `longer` must have a longer window than the model itself, which
        also rules out cycles.
        """
        if not self._serves(model.longer):
            return [Problem(where, f"no model {model.longer!r}", self._known_models())]
        own, other = self._window(name), self._window(model.longer)
        if not own:
            return [Problem(where, f"the window of {name!r} is unknown", "Set window_tokens beside it.")]
        if 0 < other <= own:
            what = f"{model.longer!r} has a window of {other} tokens, {name!r} one of {own}"
            return [Problem(where, what, "Name a deployment with a longer window, or set window_tokens of both.")]
        return []

    def _serves(self, name: str) -> bool:
        return name in self._models or any(matches(name, offer.card.name) for offer in self._offers)

    def _known_models(self, endpoint: Endpoint | None = None) -> str:
        """Return a sentence that lists the models that a client may name. If `endpoint` is given, models that do not
        serve it are left out.
        """
        offers = [offer for offer in self._offers if endpoint is None or offer.card.answers(endpoint)]
        configured = [name for name in self._models if endpoint is None or self._answers(name, endpoint)]
        return f"Known: {_list(list(dict.fromkeys([*configured, *(offer.card.name for offer in offers)])))}."

    def _answers(self, name: str, endpoint: Endpoint) -> bool:
        """Whether a configured model serves the endpoint. A configured model that the backend does not list is assumed
        to serve the endpoint.
        """
        cards = [self._card(entry.backend, entry.upstream or name) for entry in deployments_of(self._models[name])]
        return any(card is None or card.answers(endpoint) for card in cards)


def _target(
    backend: str,
    model: str,
    card: ModelCard | None,
    window: int = 0,
    longer: Target | None = None,
    *,
    repeat: bool = False,
    hedge_s: float = 0.0,
) -> Target:
    """Return a target. `window` is the configured window, or 0. If `longer` is None, the target can still use the
    longer window of its own engine.
    """
    window = window or (card.window_tokens if card else 0)
    if longer is None and card is not None and card.longest_tokens > window > 0:
        longer = Target(backend, model, card.longest_tokens, repeat=repeat)
    return Target(backend, model, window, longer, repeat, hedge_s)


def check_model(routes: Routes, key: ClientKey, model: str, endpoint: Endpoint) -> None:
    """Raise `KeyNotAllowed` if the key may not use the model. The gateway's own calls are checked too.

    A key may use a model by the model's name, or by an alias that the key lists. A pattern or `[routing] unknown` can
    map any name that a client invents to a model. Such a name gives no right to the model.
    """
    if not key.models:
        return
    name, alias = routes.name(model, endpoint), routes.alias(model)
    if not any(matches(name, pattern) or (alias and matches(alias, pattern)) for pattern in key.models):
        raise KeyNotAllowed(f"This key may not use the model {name!r}.", param="model", code="model_not_allowed")


def _rank(offer: Offer) -> tuple[bool, int]:
    name = offer.card.name
    return name.endswith("*"), -len(name) if name.endswith("*") else 0


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"
