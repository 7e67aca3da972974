"""Reads the deployments of a model from the configuration, and finds the mistakes in them."""

from collections.abc import Iterator, Sequence

from gateway.backends.routing.broken import BrokenParts
from gateway.errors import Problem
from gateway.settings.models import Deployment, ModelTable, SpreadStrategy


def deployments_of(model: ModelTable) -> tuple[Deployment, ...]:
    """Return the deployments of a model. A model with a single backend has one deployment."""
    return model.deployments or (Deployment(model.backend, model.upstream),)


def is_broken(model: ModelTable, broken: BrokenParts) -> bool:
    return any(entry.backend in broken.backends for entry in deployments_of(model))


def deployment_problems(where: str, model: ModelTable, backends: Sequence[str]) -> Iterator[Problem]:
    known = f"Known: {', '.join(backends) or 'none'}."
    if model.deployments and (model.backend or model.upstream):
        yield Problem(where, "has both backend and deployments", "Write the backend as one more deployment.")
    if not model.deployments and not model.backend:
        yield Problem(f"{where} backend", "is required", f"Or list several in deployments. {known}")
    elif not model.deployments and model.backend not in backends:
        yield Problem(f"{where} backend", f"no backend {model.backend!r}", known)
    for place, entry in enumerate(model.deployments, 1):
        if entry.backend not in backends:
            yield Problem(f"{where} deployments, number {place}", f"no backend {entry.backend!r}", known)
    names_intents = any(entry.intents for entry in model.deployments)
    if (model.strategy is SpreadStrategy.INTENT) != names_intents:
        what = (
            "has deployments with intents"
            if names_intents
            else 'has the strategy "intent" and no deployment with intents'
        )
        yield Problem(where, what, 'Write strategy = "intent" and intents together.')
    if model.hedge_s and len(model.deployments) < 2 and not model.fallback:
        yield Problem(f"{where} hedge_s", "needs a second deployment or a fallback")
