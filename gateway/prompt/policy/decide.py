"""Decides what to do with a template's rewrite: use it, hold it back as a control, only record it, or skip it.

The stage `route` has already combined the modes of route, key and request. `docs/policies.md` has the whole order.
"""

from collections.abc import Container, Mapping

from gateway.ask import Mode
from gateway.exchange import Arm, CanaryTrial, Exchange
from gateway.prompt.library.library import OfferedVersions
from gateway.prompt.policy.arms import RewriteDecision, takes_part
from gateway.prompt.policy.canary import choose_version
from gateway.prompt.policy.gains import Gain, GainTable
from gateway.prompt.templates.template import Template
from gateway.settings.prompt import TemplatePolicy

ANY = TemplatePolicy()


class RewritePolicy:
    """Decides by the tables `[templates.x]` and the gain table. Without a gain table every gain is unknown."""

    def __init__(self, templates: Mapping[str, TemplatePolicy] | None = None, gains: GainTable | None = None) -> None:
        self._templates = templates or {}
        self._gains = gains

    def decide(self, exchange: Exchange, offered: OfferedVersions) -> RewriteDecision:
        version = choose_version(exchange, offered)
        template = version.template
        if template is None:
            return version
        own = self._templates.get(template.id, ANY)
        if own.mode is Mode.OFF:
            return RewriteDecision(template, Arm.NONE, f'[templates."{template.id}"] mode is off')
        if exchange.mode is Mode.SHADOW:
            return RewriteDecision(template, Arm.SHADOW)
        if own.mode is Mode.SHADOW:
            return RewriteDecision(template, Arm.SHADOW, f'[templates."{template.id}"] mode is shadow')
        gain = self._gain(exchange, template)
        if gain is not None and gain.verdict == "leave it":
            return RewriteDecision(template, Arm.NONE, f"{gain}: left as it is")
        held = _held(exchange, template.id, own)
        if held:
            return RewriteDecision(template, Arm.HELD, held)
        why = [version.why] if version.why else []
        return RewriteDecision(
            template, version.arm, "; ".join([*why, str(gain)] if gain and gain.verdict == "helps" else why)
        )

    def unknown_templates(self, known: Container[str]) -> list[str]:
        """A message for each table `[templates.x]` whose template does not exist, since a typing error disables it."""
        return [f'[templates."{id}"] names a template that does not exist' for id in self._templates if id not in known]

    def _gain(self, exchange: Exchange, template: Template) -> Gain | None:
        """The measured gain. A request that names its template ignores it."""
        if self._gains is None or exchange.ask.controls.template:
            return None
        target = exchange.route[0] if exchange.route else None
        return self._gains.of(template.intent.name, target.model if target else exchange.ask.model)


def _held(exchange: Exchange, id: str, own: TemplatePolicy) -> str:
    """The reason why a request is a control, or "". It is rewritten only if all of its experiments include it."""
    trials = exchange.trials
    if own.canary < 1.0:
        trials = (*trials, CanaryTrial(f"templates.{id}", own.canary))
    for trial in trials:
        if not takes_part(exchange, trial):
            return f"outside the {trial.share:.0%} of {trial.name}"
    return ""
