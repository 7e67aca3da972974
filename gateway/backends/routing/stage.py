"""The first stage: finds the targets of a request, and the mode and experiments that apply to it."""

from msgspec.structs import replace

from gateway.ask import ClientKey, Mode
from gateway.backends.routing.routes import AUTO, Routes, check_model
from gateway.exchange import CanaryTrial, Exchange, Note, Target

RANK = {Mode.OFF: 0, Mode.SHADOW: 1, Mode.PROVEN: 2, Mode.ON: 3}


class RouteStage:
    """The first stage. A request for an unknown model is refused here, before any other work."""

    name = "route"

    def __init__(self, routes: Routes, mode: Mode, canary: float = 1.0) -> None:
        self.routes = routes
        self._mode = mode
        self._trial = CanaryTrial("prompt", canary)

    async def __call__(self, exchange: Exchange) -> Exchange:
        ask, key = exchange.ask, exchange.key
        check_model(self.routes, key, ask.model, ask.endpoint)
        targets, notes = self._targets(exchange)
        mode = _mode(exchange, self.routes.mode(ask.model) or self._mode, key)
        trials = self._trials(exchange) if mode.changes else ()
        return replace(exchange, route=targets, mode=mode, trials=trials, notes=(*exchange.notes, *notes))

    def _targets(self, exchange: Exchange) -> tuple[tuple[Target, ...], tuple[Note, ...]]:
        """Return the targets of the model that answers this conversation. The targets of the requested model follow as
        fallbacks.
        """
        ask = exchange.ask
        targets = self.routes.targets(ask.model, ask.endpoint)
        meant = self.routes.name(ask.model, ask.endpoint)
        renamed = (Note("route", "alias", meant),) if ask.model not in AUTO and meant != ask.model else ()
        other = self.routes.shared(ask.model, ask.controls.conversation or ask.user or exchange.id)
        if not other:
            return targets, renamed
        note = Note("route", "share", data={"model": other})
        return (*self.routes.targets(other, ask.endpoint), *targets), (*renamed, note)

    def _trials(self, exchange: Exchange) -> tuple[CanaryTrial, ...]:
        """Return the experiments of the route and the key. If the request itself sets mode `on`, the route's experiment
        is left out.
        """
        ask, key = exchange.ask, exchange.key
        trials = [] if ask.controls.mode is Mode.ON else [self.routes.trial(ask.model) or self._trial]
        if key.canary < 1.0:
            trials.append(CanaryTrial(f"keys.{key.name}", key.canary))
        return tuple([trial for trial in trials if trial.share < 1.0])


def _mode(exchange: Exchange, configured: Mode, key: ClientKey) -> Mode:
    """Return the request's mode, or else the configured mode, but never more than the key allows."""
    mode = exchange.ask.controls.mode or configured
    return mode if RANK[mode] <= RANK[key.mode] else key.mode
