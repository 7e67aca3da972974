"""How far a rewrite may go once its template is known: spoken, kept back as a control, only recorded, or not at all.

The mode of route, key and request is decided before, by the route. `docs/policies.md` has the whole order.
"""

from collections.abc import Mapping

from msgspec import Struct

from gateway.exchange import Arm, Exchange, Mode, Trial
from gateway.prompt.arms import takes_part
from gateway.prompt.gains import GainTable
from gateway.prompt.library import Offered
from gateway.prompt.template import Template
from gateway.settings import TemplatePolicy

ANY = TemplatePolicy()


class Decision(Struct, frozen=True):
    """The version, the arm, and the reason where it is not plain. `Arm.NONE`: the prompt stays as it is."""

    template: Template | None
    arm: Arm
    why: str = ""

    @property
    def speaks(self) -> bool:
        return self.arm in (Arm.STABLE, Arm.CANARY)


class Policy:
    """`templates` are the tables `[templates.x]`. Without a gain table, nothing counts as measured."""

    def __init__(self, templates: Mapping[str, TemplatePolicy] | None = None, gains: GainTable | None = None) -> None:
        self._templates = templates or {}
        self._gains = gains

    def decide(self, exchange: Exchange, offered: Offered) -> Decision:
        found = _version(exchange, offered)
        if found.template is None:
            return found
        id = found.template.id
        own = self._templates.get(id, ANY)
        against = self._against(exchange, found.template, own)
        if against:
            return Decision(found.template, Arm.NONE, against)
        if exchange.mode is Mode.SHADOW:
            return Decision(found.template, Arm.SHADOW)
        if own.mode is Mode.SHADOW:
            return Decision(found.template, Arm.SHADOW, f"[templates.{id}] mode is shadow")
        held = _held(exchange, id, own)
        return Decision(found.template, Arm.HELD, held) if held else found

    def _against(self, exchange: Exchange, template: Template, own: TemplatePolicy) -> str:
        if own.mode is Mode.OFF:
            return f"[templates.{template.id}] mode is off"
        # who names a template wants it; and in the shadow it is measured, whatever was measured before
        if self._gains is None or exchange.ask.controls.template or exchange.mode is Mode.SHADOW:
            return ""
        target = exchange.route[0] if exchange.route else None
        return self._gains.against(template.intent.name, target.model if target else exchange.ask.model)


def _version(exchange: Exchange, offered: Offered) -> Decision:
    """The version on trial for its share of the conversations, the stable one for the rest."""
    canary, share = offered.canary, offered.share
    if canary is not None and takes_part(exchange, Trial(canary.ref, share)):
        return Decision(canary, Arm.CANARY, f"among the {share:.0%} of the canary")
    if offered.stable is None:
        ref = canary.ref if canary else "nothing"
        return Decision(None, Arm.NONE, f"outside the {share:.0%} of the canary {ref}, and nothing else speaks")
    return Decision(offered.stable, Arm.STABLE)


def _held(exchange: Exchange, id: str, own: TemplatePolicy) -> str:
    """Why this one is a control, or "". It is rewritten only where each of its experiments takes it."""
    trials = exchange.trials
    if own.canary < 1.0:
        trials = (*trials, Trial(f"templates.{id}", own.canary))
    for trial in trials:
        if not takes_part(exchange, trial):
            return f"outside the {trial.share:.0%} of {trial.name}"
    return ""
