"""Makes pairs from the shipped prompts. A pair has the client's prompt, and the same prompt rewritten by a template."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from gateway.ask import Ask, Endpoint, Turn
from gateway.exchange import Arm, Exchange, Intent, Sampling, Target
from gateway.prompt.answers.stated_checks import stated_checks
from gateway.prompt.kept import KeptAsIs
from gateway.prompt.library.library import Library, OfferedVersions
from gateway.prompt.measure.pairs import ANSWER_TOKENS, AnswerPair
from gateway.prompt.measure.prompts import MeasuredPrompt
from gateway.prompt.policy.arms import RewriteDecision
from gateway.prompt.policy.decide import RewritePolicy
from gateway.prompt.rewrite import RewriteStage
from gateway.prompt.templates.fields import Purpose
from gateway.prompt.templates.template import Template

StageFor = Callable[[RewritePolicy], RewriteStage]


class OnlyVersion(RewritePolicy):
    """A policy that always chooses the same version of a template. It uses no gain table and no experiments."""

    def __init__(self, template: Template) -> None:
        super().__init__()
        self._template = template

    def decide(self, exchange: Exchange, offered: OfferedVersions) -> RewriteDecision:
        return RewriteDecision(self._template, Arm.STABLE)


def measurable(library: Library, name: str = "") -> Iterator[Template]:
    """Yield the versions that the classifier may choose. `name` limits them to one `id` or `id@version`.

    Templates with first calls are left out, since they can be measured only from records.
    """
    trials = [canary for pairs in library.canaries.values() for canary, _ in pairs]
    versions = {template.ref: template for template in (*library.speaking.values(), *trials)}
    for template in versions.values():
        if template.purpose is Purpose.ANSWER and not template.calls and name in ("", template.id, template.ref):
            yield template


async def pairs_of_prompts(
    stage_for: StageFor, templates: Iterable[Template], target: Target, prompts: Sequence[MeasuredPrompt]
) -> list[AnswerPair]:
    """Return the pairs in the order of `prompts`.

    Each prompt gets one pair for every template that has its intent and language and changes the prompt.
    """
    pairs: dict[str, list[AnswerPair]] = {prompt.id: [] for prompt in prompts}
    for template in templates:
        stage = stage_for(OnlyVersion(template))
        for prompt in prompts:
            if (prompt.intent, prompt.language) == (template.intent.name, template.language):
                pair = await _pair(stage, template, target, prompt)
                pairs[prompt.id] += [pair] if pair else []
    return [pair for of_prompt in pairs.values() for pair in of_prompt]


async def _pair(stage: RewriteStage, template: Template, target: Target, prompt: MeasuredPrompt) -> AnswerPair | None:
    raw = (Turn("user", prompt.prompt, 0),)
    ask = Ask(Endpoint.CHAT, target.model, b"", raw)
    intent = Intent(prompt.intent, 1.0, 1.0, prompt.language)
    # `dry`: only the text is measured, so no model fills slots
    exchange = Exchange(f"measure-{prompt.id}", ask, intent=intent, route=(target,), dry=True)
    try:
        done = await stage.rewritten(exchange)
    except KeptAsIs:
        return None
    return AnswerPair(
        prompt.id,
        (template.text_digest, template.language, target.model),
        target,
        raw,
        done.prompt,
        sampling_of(template),
        right=prompt.right,
        compare=prompt.compare,
        checks=stated_checks(prompt.prompt),
        template=template.ref,
        intent=prompt.intent,
        marker=marker_of(template),
    )


def sampling_of(template: Template) -> Sampling:
    """Return the settings for both answers of a pair: the template's limits, at temperature 0."""
    output = template.output
    return Sampling(output.max_tokens or ANSWER_TOKENS, 0.0, output.stop)


def marker_of(template: Template) -> str:
    return template.reasoning.marker if template.reasoning.mode == "split" else ""
