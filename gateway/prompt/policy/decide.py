"""Decides what happens to a rewrite: it is sent, held back as a control, only recorded, or skipped.

The stage `route` has already combined the modes of the route, the key and the request. `docs/policies.md` gives the
order of all rules.
"""

from collections.abc import Container, Mapping
from typing import Protocol

from gateway.ask import Mode
from gateway.exchange import Arm, CanaryTrial, Exchange
from gateway.prompt.library.library import OfferedVersions
from gateway.prompt.policy.arms import RewriteDecision, takes_part
from gateway.prompt.policy.canary import choose_version
from gateway.prompt.policy.gains import Gain, GainTable
from gateway.prompt.policy.standings import StandingState, StandingTable
from gateway.prompt.templates.template import Template
from gateway.settings.prompt import TemplatePolicy

ANY = TemplatePolicy()
MEASURE = "foreword gains measure"


class MeasuredText(Protocol):
    """A text that has rows in the gain table. It is a template, or a refiner's template with the refiner's model."""

    @property
    def text_digest(self) -> str: ...
    @property
    def language(self) -> str: ...


class RewritePolicy:
    """Decides by three sources: the tables `[templates.x]`, the gain table and the standings.

    Without a gain table, every gain is unknown. Without standings, a template has controls only if its own table sets
    them. With `heeds_losses`, a template in mode `on` is not used for a model if measurements show no gain.
    """

    def __init__(
        self,
        templates: Mapping[str, TemplatePolicy] | None = None,
        gains: GainTable | None = None,
        *,
        heeds_losses: bool = True,
        standings: StandingTable | None = None,
    ) -> None:
        self._templates = templates or {}
        self._gains = gains
        self._heeds_losses = heeds_losses
        self._standings = standings

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
        if version.arm is not Arm.CANARY and (worse := self._worse(exchange, template)):
            return RewriteDecision(template, Arm.SHADOW, worse)
        gain = self._gain(exchange, template)
        proven = None
        if version.arm is not Arm.CANARY and self.needs_proof(exchange, template.id, template.proven_only):
            proven = self.proven(exchange, template)
            why = self._unproven(exchange, template, proven)
            if why:
                return RewriteDecision(template, Arm.SHADOW, why)
        elif gain is not None and gain.verdict == "leave it" and self._heeds_losses:
            return RewriteDecision(template, Arm.NONE, f"{gain}: left as it is")
        controls = self._controls(exchange, version, own)
        held = _held(exchange, template.id, controls)
        if held:
            return RewriteDecision(template, Arm.HELD, held, controls=controls)
        reasons = [version.why] if version.why else []
        if gain is not None and gain.verdict == "helps":
            reasons.append(str(gain))
        return RewriteDecision(template, version.arm, "; ".join(reasons), proven, controls)

    def unknown_templates(self, known: Container[str]) -> list[str]:
        """Return a message for each table `[templates.x]` whose template does not exist."""
        return [f'[templates."{id}"] names a template that does not exist' for id in self._templates if id not in known]

    def needs_proof(self, exchange: Exchange, id: str = "", proven_only: bool = False) -> bool:
        """Return whether the template may be used only if the gain table proves it.

        Proof is needed in the mode `proven`, and for a template whose file says so (`proven_only`). The template's own
        table may set another mode. A request that names its template needs no proof.
        """
        if exchange.ask.controls.template:
            return False
        own = self._templates.get(id, ANY).mode
        return own is Mode.PROVEN or (own is None and (proven_only or exchange.mode is Mode.PROVEN))

    def proven(self, exchange: Exchange, measured: MeasuredText) -> tuple[str, ...]:
        """Return those models on the route that the text helps according to the gain table."""
        models = dict.fromkeys([target.model for target in exchange.route] or [exchange.ask.model])
        return tuple([model for model in models if self.helps(measured, model)])

    def helps(self, measured: MeasuredText, model: str) -> bool:
        gain = self._row(measured, model)
        return gain is not None and gain.verdict == "helps"

    def is_measured(self, measured: MeasuredText, model: str) -> bool:
        """Whether the gain table has a row for the text and the model, whatever it says."""
        return self._row(measured, model) is not None

    def not_proven(self, measured: MeasuredText, model: str) -> str:
        """Return the reason why the text is not proven for a model."""
        gain = self._row(measured, model)
        if gain is None:
            return f"not proven for model {model}: {MEASURE}"
        if gain.verdict == "leave it":
            return f"not proven for model {model}: {gain}"
        return f"not proven for model {model}: {gain}, which is too few: {MEASURE}"

    def _unproven(self, exchange: Exchange, template: Template, proven: tuple[str, ...]) -> str:
        """Return the reason why a template that needs proof is not used, or "" if it may be used."""
        models = [target.model for target in exchange.route] or [exchange.ask.model]
        if models[0] not in proven:
            return self.not_proven(template, models[0])
        missing = [model for model in models if model not in proven]
        if missing and (template.calls or template.samples or template.iterate):
            # one procedure must not mix answers to two prompts
            return f"{self.not_proven(template, missing[0])}, the fallback, and the template makes several calls"
        return ""

    def _worse(self, exchange: Exchange, template: Template) -> str:
        """Return the reason why the template is back in shadow mode, or "" if it is not.

        A template goes back to shadow mode if its answers are worse than those of its controls.
        """
        if self._standings is None or exchange.ask.controls.template:
            return ""
        standing = self._standings.of(template.id, template.text_digest)
        if standing is None or standing.state is not StandingState.SHADOW:
            return ""
        return f"{standing.reason}; to use it again: foreword templates resume {template.id}"

    def _controls(self, exchange: Exchange, version: RewriteDecision, own: TemplatePolicy) -> float:
        """Return the share of controls in the experiment that compares the template with unchanged prompts."""
        if own.canary is not None:
            return 1.0 - own.canary
        controls, template = exchange.ask.controls, version.template
        # a preview shows what the template does, and a canary is compared with the stable version
        requested = bool(controls.template) or controls.mode is Mode.ON
        if self._standings is None or template is None or requested or exchange.dry or version.arm is Arm.CANARY:
            return 0.0
        return self._standings.controls(template.id, template.text_digest)

    def _gain(self, exchange: Exchange, template: Template) -> Gain | None:
        """Return the template's measured gain, or None if it is unknown or if the request names the template."""
        if exchange.ask.controls.template:
            return None
        target = exchange.route[0] if exchange.route else None
        return self._row(template, target.model if target else exchange.ask.model)

    def _row(self, measured: MeasuredText, model: str) -> Gain | None:
        return self._gains.of(measured.text_digest, measured.language, model) if self._gains else None


def _held(exchange: Exchange, id: str, controls: float) -> str:
    """Return the reason why a request is a control, or "".

    A request is a control if it is outside the share of any experiment.
    """
    trials = exchange.trials
    if controls > 0:
        trials = (*trials, CanaryTrial(f"templates.{id}", 1.0 - controls))
    for trial in trials:
        if not takes_part(exchange, trial):
            return f"outside the {trial.share:.0%} of {trial.name}"
    return ""
