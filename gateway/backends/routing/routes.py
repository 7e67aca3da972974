"""Finds the backends for a model's name, in the order in which they are tried."""

from collections.abc import Mapping, Sequence
from hashlib import sha256

from msgspec import Struct

from gateway.ask import ClientKey, Endpoint, Mode
from gateway.errors import KeyNotAllowed, NotFound, Problem
from gateway.exchange import CanaryTrial, Target
from gateway.ports import Backend, ModelCard
from gateway.settings.models import ModelTable

AUTO = ("", "auto")
LONGEST_NAME = 256


class Offer(Struct, frozen=True):
    """A model card and the backend that offers the model."""

    backend: str
    card: ModelCard

    def serves(self, name: str, endpoint: Endpoint) -> bool:
        return self.card.answers(endpoint) and matches(name, self.card.name)


def matches(name: str, pattern: str) -> bool:
    """Whether a model's name matches a pattern, which may end in `*`."""
    return name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1]))


class BrokenParts(Struct, frozen=True):
    """The tables of the configuration that have mistakes. `models` are the model names and patterns in them.

    `may_be_any` is true if a table names no models, since its backend may then serve any model.
    """

    backends: frozenset[str] = frozenset()
    models: tuple[str, ...] = ()
    may_be_any: bool = False

    def may_serve(self, name: str) -> bool:
        return self.may_be_any or any(matches(name, pattern) for pattern in self.models)


NOTHING_BROKEN = BrokenParts()


class Routes:
    """Finds targets by a model's name: in `[models.x]`, then in the backends' names, then in their patterns."""

    def __init__(self, models: Mapping[str, ModelTable], backends: Mapping[str, Backend], default: str) -> None:
        self._models = models
        offers = [Offer(name, card) for name, backend in backends.items() for card in backend.models()]
        # names come before patterns, whatever the order of the tables in the file
        self._offers = sorted(offers, key=lambda offer: offer.card.name.endswith("*"))
        self._default = default
        self._known: dict[tuple[str, Endpoint], tuple[Target, ...]] = {}

    def targets(self, name: str, endpoint: Endpoint) -> tuple[Target, ...]:
        """Return the targets for a model, in the order in which they are tried. Raises `NotFound` for an unknown
        model.
        """
        targets = self._known.get((name, endpoint))
        if targets is None:
            targets = self._find(name, endpoint)
            # clients choose the names for a pattern, so the cache has a limit
            if len(name) <= LONGEST_NAME and len(self._known) < 10_000:
                self._known[name, endpoint] = targets
        return targets

    def mode(self, name: str) -> Mode | None:
        """Return the mode in `[models.x]` for this name."""
        model = self._models.get(self._default if name in AUTO else name)
        return model.mode if model else None

    def trial(self, name: str) -> CanaryTrial | None:
        """Return the experiment of `[models.x] canary` for this name."""
        name = self._default if name in AUTO else name
        model = self._models.get(name)
        return None if model is None or model.canary is None else CanaryTrial(f"models.{name}", model.canary)

    def shared(self, name: str, unit: str) -> str:
        """Return the model of `[models.x] shares` that answers this conversation, or "" for the model `name` itself."""
        name = self._default if name in AUTO else name
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
        """Return (model name, backend) for all names. Patterns are left out."""
        listed = {name: model.backend for name, model in self._models.items()}
        for offer in self._offers:
            if not offer.card.name.endswith("*"):
                listed.setdefault(offer.card.name, offer.backend)
        return list(listed.items())

    def open_ended(self) -> list[str]:
        """Return the backends with a pattern. Only such a backend knows all of its models."""
        return list(dict.fromkeys(offer.backend for offer in self._offers if offer.card.name.endswith("*")))

    def owner(self, name: str) -> str | None:
        """Return the backend of a model's name, or None for an unknown name."""
        model = self._models.get(name)
        if model is not None:
            return model.backend
        return next((offer.backend for offer in self._offers if matches(name, offer.card.name)), None)

    def problems(self, file: str, refiner: str = "", broken: BrokenParts = NOTHING_BROKEN) -> list[Problem]:
        """Return the mistakes in `[models]`, `[routing]` and `[refiner]` that only the backends show.

        A name that a broken table may offer is not reported as unknown.
        """
        backends = sorted({*[offer.backend for offer in self._offers], *broken.backends})
        problems = []

        def check(where: str, name: str) -> None:
            if name and not self._serves(name) and not broken.may_serve(name):
                problems.append(Problem(f"{file} {where}", f"no model {name!r}", self._known_models()))

        for name, model in self._models.items():
            where = f"[models.{name}]"
            if model.backend not in backends:
                what, remedy = f"no backend {model.backend!r}", f"Known: {_list(backends)}."
                problems.append(Problem(f"{file} {where} backend", what, remedy))
            check(f"{where} fallback", model.fallback)
            for other in model.shares:
                check(f"{where} shares", other)
            if sum(model.shares.values()) > 1:
                problems.append(Problem(f"{file} {where} shares", "their sum is more than 1"))
            if model.longer and not broken.may_serve(model.longer) and model.backend not in broken.backends:
                problems += self._longer_problems(f"{file} {where} longer", name, model)
        check("[routing] default", self._default)
        check("[refiner] model", refiner)
        return problems

    def name(self, name: str, endpoint: Endpoint) -> str:
        """Return the requested name, or the default if the request names no model."""
        return self._default_for(endpoint) if name in AUTO else name

    def _find(self, name: str, endpoint: Endpoint) -> tuple[Target, ...]:
        chosen = self.name(name, endpoint)
        targets = self._direct(chosen, endpoint)
        model = self._models.get(chosen)
        if model and model.fallback:
            targets += self._direct(model.fallback, endpoint)
        if not targets:
            raise NotFound(
                f"The model {name!r} does not exist for /v1/{endpoint}. {self._known_models(endpoint)}",
                param="model",
                code="model_not_found",
            )
        return targets

    def _direct(self, name: str, endpoint: Endpoint) -> tuple[Target, ...]:
        model = self._models.get(name)
        if model:
            upstream = model.upstream or name
            card = self._card(model.backend, upstream)
            longer = next(iter(self._direct(model.longer, endpoint)), None) if model.longer else None
            return (_target(model.backend, upstream, card, model.window_tokens, longer, repeat=model.repeat),)
        for offer in self._offers:
            if offer.serves(name, endpoint):
                return (_target(offer.backend, name, offer.card),)
        return ()

    def _default_for(self, endpoint: Endpoint) -> str:
        """Return the configured default, or the first model that serves the endpoint if the default does not."""
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
        """Return the window in tokens that the model reads well, or 0 if unknown."""
        model = self._models.get(name)
        if model is None:
            return next((offer.card.window_tokens for offer in self._offers if matches(name, offer.card.name)), 0)
        card = self._card(model.backend, model.upstream or name)
        return model.window_tokens or (card.window_tokens if card else 0)

    def _longer_problems(self, where: str, name: str, model: ModelTable) -> list[Problem]:
        """Return the mistakes in `longer`. Each window must be longer than the one before, which rules out cycles
        too.
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
        """Return a sentence with the models that a client may name, those of `endpoint` if it is given."""
        offers = [offer for offer in self._offers if endpoint is None or offer.card.answers(endpoint)]
        configured = [name for name in self._models if endpoint is None or self._answers(name, endpoint)]
        return f"Known: {_list(list(dict.fromkeys([*configured, *(offer.card.name for offer in offers)])))}."

    def _answers(self, name: str, endpoint: Endpoint) -> bool:
        """Whether a configured model serves the endpoint. If the backend does not list the model, the answer is yes."""
        model = self._models[name]
        card = self._card(model.backend, model.upstream or name)
        return card is None or card.answers(endpoint)


def _target(
    backend: str,
    model: str,
    card: ModelCard | None,
    window: int = 0,
    longer: Target | None = None,
    *,
    repeat: bool = False,
) -> Target:
    """Return a target. `window` is the configured window. With `longer` None, the engine's own longer window is
    used.
    """
    window = window or (card.window_tokens if card else 0)
    if longer is None and card is not None and card.longest_tokens > window > 0:
        longer = Target(backend, model, card.longest_tokens, repeat=repeat)
    return Target(backend, model, window, longer, repeat)


def check_model(routes: Routes, key: ClientKey, model: str, endpoint: Endpoint) -> None:
    """Raise `KeyNotAllowed` if the key may not use the model. The gateway's own calls are checked too."""
    if not key.models:
        return
    name = routes.name(model, endpoint)
    if not any(matches(name, pattern) for pattern in key.models):
        raise KeyNotAllowed(f"This key may not use the model {name!r}.", param="model", code="model_not_allowed")


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"
