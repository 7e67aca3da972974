"""Lists the templates that are not proven for a model, with the cost of measuring them.

No template is rendered and no model is called.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from gateway.prompt.library.library import Library
from gateway.prompt.measure.cost import MeasureCost, money_of, tokens_of
from gateway.prompt.measure.prepare import measurable, sampling_of
from gateway.prompt.measure.prompts import shipped_prompts
from gateway.prompt.policy.decide import RewritePolicy
from gateway.prompt.templates.template import Template
from gateway.settings.jobs import Price
from gateway.settings.tables import Settings

LISTED = 5
EXACTLY = "--dry-run renders the prompts and counts those that a template changes"


class UnprovenTemplates(Struct, frozen=True):
    """The templates that are not proven for a model.

    `templates` is the number of all templates that the classifier may choose, proven or not.
    """

    model: str
    name: str
    """The name that clients use for the model."""
    refs: Sequence[str]
    templates: int
    cost: MeasureCost

    def __str__(self) -> str:
        more = f" and {len(self.refs) - LISTED} more" if len(self.refs) > LISTED else ""
        named = ", ".join(self.refs[:LISTED]) + more
        return (
            f"{len(self.refs)} of {self.templates} templates are not proven for model {self.model} and decide in the "
            f"shadow: {named}. Measure them: foreword gains measure --missing --source prompts --model {self.name} "
            f"({self.cost}; {EXACTLY})"
        )

    def of_one(self) -> str:
        """Return the message for a list of only one template."""
        return (
            f"{self.refs[0]} is not proven for model {self.model} and decides in the shadow there. Measure it: "
            f"foreword gains measure --template {self.refs[0]} --model {self.name} ({self.cost}; {EXACTLY})"
        )


def unproven(
    library: Library, policy: RewritePolicy, model: tuple[str, str], prices: Mapping[str, Price], only: str = ""
) -> UnprovenTemplates | None:
    """Return the templates that the gain table does not prove for the model, or None if all templates are proven.

    `model` is an item of `models_of`. `only` limits the search to one template, by `id` or `id@version`.
    """
    upstream, name = model
    templates = list(measurable(library, only))
    missing = [template for template in templates if not policy.helps(template, upstream)]
    if not missing:
        return None
    refs = sorted(template.ref for template in missing)
    # `--missing` measures only what has no row yet, and a template that lost has one
    unmeasured = [template for template in missing if only or not policy.is_measured(template, upstream)]
    return UnprovenTemplates(upstream, name, refs, len(templates), _cost(unmeasured, prices.get(upstream)))


def models_of(settings: Settings) -> Mapping[str, str]:
    """Return the default model and all configured models, as a mapping from backend names to client names.

    If several client names stand for the same backend name, the first one is used.
    """
    names = [settings.routing.default, *settings.models] if settings.routing.default else list(settings.models)
    models: dict[str, str] = {}
    for name in names:
        table = settings.models.get(name)
        deployments = table.deployments if table else ()
        for upstream in [entry.upstream for entry in deployments] or [table.upstream if table else ""]:
            models.setdefault(upstream or name, name)
    return models


def _cost(templates: Iterable[Template], price: Price | None) -> MeasureCost:
    calls, read, written = 0, 0, 0
    for template in templates:
        cell = template.intent.name, template.language
        for prompt in shipped_prompts():
            if (prompt.intent, prompt.language) == cell:
                calls += 2
                read += 2 * tokens_of(prompt.prompt) + sum(tokens_of(part.source) for part in template.parts)
                written += 2 * sampling_of(template).max_tokens
    return MeasureCost(calls, read + written, money_of(price, read, written))
