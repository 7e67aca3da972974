"""The first stage: finds the targets of a request, and the mode and experiments that apply to it."""

import random

from msgspec.structs import replace

from gateway.ask import ClientKey, Mode
from gateway.backends.routing.deployments import Chance, Live, no_such_tags, sorted_targets, with_tags
from gateway.backends.routing.figures import LiveFigures
from gateway.backends.routing.routes import AUTO, Routes, check_model
from gateway.exchange import CanaryTrial, Exchange, Note, Target

RANK = {Mode.OFF: 0, Mode.SHADOW: 1, Mode.PROVEN: 2, Mode.ON: 3}


class RouteStage:
    """Finds the targets of a request. A request for an unknown model is refused here, before any other work."""

    name = "route"

    def __init__(
        self,
        routes: Routes,
        mode: Mode,
        canary: float = 1.0,
        *,
        live: Live | None = None,
        chance: Chance = random.random,
    ) -> None:
        self.routes = routes
        self._live = live or LiveFigures({})
        self._chance = chance
        self._mode = mode
        self._trial = CanaryTrial("prompt", canary)

    async def __call__(self, exchange: Exchange) -> Exchange:
        ask, key = exchange.ask, exchange.key
        check_model(self.routes, key, ask.model, ask.endpoint)
        targets, notes = self._targets(exchange)
        mode = _mode(exchange, self.routes.mode(ask.model) or self._mode, key)
        trials = self._trials(exchange) if mode.changes else ()
        return replace(exchange, route=targets, mode=mode, trials=trials, notes=(*exchange.notes, *notes))

    def other_model(self, exchange: Exchange, model: str) -> tuple[Target, ...]:
        """Return the targets of another model than the request names. Raises `NotFound` for an unknown model,
        `KeyNotAllowed` for one that the key may not use, and `BadRequest` if it has no deployment with the request's
        tags.
        """
        endpoint = exchange.ask.endpoint
        check_model(self.routes, exchange.key, model, endpoint)
        found = self._sorted(exchange, model)
        if found is None:
            raise no_such_tags(self.routes.route(model, endpoint).groups[0], exchange.ask.controls.tags)
        return found[0]

    def _targets(self, exchange: Exchange) -> tuple[tuple[Target, ...], tuple[Note, ...]]:
        """Return the targets for this conversation in order, with notes. Raises `BadRequest` if the model has no
        deployment with the request's tags.

        If another model takes a share of the requested model's traffic, the other model's targets may come first. The
        targets of the requested model are then fallbacks.
        """
        ask = exchange.ask
        found = self._sorted(exchange, ask.model)
        if found is None:
            raise no_such_tags(self.routes.route(ask.model, ask.endpoint).groups[0], ask.controls.tags)
        targets, notes = found
        meant = self.routes.name(ask.model, ask.endpoint)
        if ask.model not in AUTO and meant != ask.model:
            notes = (Note("route", "alias", meant), *notes)
        other = self.routes.shared(ask.model, ask.controls.conversation or ask.user or exchange.id)
        preferred = self._sorted(exchange, other) if other else None
        if preferred is None:
            return targets, notes
        note = Note("route", "share", data={"model": other})
        return (*preferred[0], *targets), (note, *preferred[1], *notes)

    def _sorted(self, exchange: Exchange, name: str) -> tuple[tuple[Target, ...], tuple[Note, ...]] | None:
        """Return the targets of a model, sorted by the strategies of the model and of its fallbacks. Returns None if
        the model itself has no deployment with the request's tags. Fallbacks without one are left out.
        """
        tags, route = exchange.ask.controls.tags, self.routes.route(name, exchange.ask.endpoint)
        if route.is_fixed and not tags:
            return route.targets, ()
        groups = with_tags(route.groups, tags)
        if not groups or groups[0].name != route.groups[0].name:
            return None
        found = [sorted_targets(group, exchange, self._live, self._chance) for group in groups]
        # the note is about the model itself, since its fallbacks are used only if it fails
        notes = () if found[0][1] is None else (found[0][1],)
        return tuple([target for targets, _ in found for target in targets]), notes

    def _trials(self, exchange: Exchange) -> tuple[CanaryTrial, ...]:
        """Return the experiments in which the request takes part: the route's and the key's. If the request itself sets
        mode `on`, the route's experiment is left out.
        """
        ask, key = exchange.ask, exchange.key
        trials = [] if ask.controls.mode is Mode.ON else [self.routes.trial(ask.model) or self._trial]
        if key.canary < 1.0:
            trials.append(CanaryTrial(f"keys.{key.name}", key.canary))
        return tuple([trial for trial in trials if trial.share < 1.0])


def _mode(exchange: Exchange, configured: Mode, key: ClientKey) -> Mode:
    """Return the mode that the request sets, or else the configured mode. If the key does not allow this mode, return
    the highest mode that the key allows.
    """
    mode = exchange.ask.controls.mode or configured
    return mode if RANK[mode] <= RANK[key.mode] else key.mode
