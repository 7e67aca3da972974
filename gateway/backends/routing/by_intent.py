"""The stage that orders deployments by the intent of the prompt, after the classifier has found it."""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from gateway.backends.routing.aliases import matches
from gateway.backends.routing.deployments import RoutedDeployment
from gateway.backends.routing.routes import Routes
from gateway.exchange import Exchange, Note
from gateway.settings.models import SpreadStrategy


class IntentRouteStage:
    """Changes the order of the requested model's own targets, under the strategy `intent`.

    No target is added or removed, and fallbacks stay behind. A conversation that another model's share takes is left
    as it is.
    """

    name = "intent-route"

    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    async def __call__(self, exchange: Exchange) -> Exchange:
        group = self._routes.route(exchange.ask.model, exchange.ask.endpoint).groups[0]
        if group.strategy is not SpreadStrategy.INTENT or len(exchange.route) < 2:
            return exchange
        ranks: dict[tuple[str, str], tuple[int, int]] = {}
        for each in group.deployments:  # a target with several entries counts by its best one
            place, rank = (each.target.backend, each.target.model), (each.order, _rank(each, exchange.intent.name))
            ranks[place] = min(ranks.get(place, rank), rank)
        own = [target for target in exchange.route if (target.backend, target.model) in ranks]
        rest = exchange.route[len(own) :]
        if exchange.route[: len(own)] != tuple(own):
            return exchange
        ordered = sorted(own, key=lambda target: ranks[target.backend, target.model])  # stable: weights decide
        first = ordered[0]
        data = {"intent": exchange.intent.name, "backend": first.backend, "model": first.model}
        note = Note("route", "intent", exchange.intent.name or "unknown", data)
        return replace(exchange, route=(*ordered, *rest), notes=(*exchange.notes, note))


def _rank(deployment: RoutedDeployment, intent: str) -> int:
    """Return 0 for a deployment that names the intent, 1 for one that names none, and 2 for any other."""
    if intent and any(matches(intent, pattern) for pattern in deployment.intents):
        return 0
    return 2 if deployment.intents else 1


def unknown_intents(named: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    """Yield a message for each intent or pattern of a deployment that no template has."""
    names = set(known)
    for pattern in sorted(named):
        if not any(matches(name, pattern) for name in names):
            yield f"no template has the intent {pattern!r}, which a deployment names"
