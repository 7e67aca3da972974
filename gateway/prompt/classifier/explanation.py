"""Explains one decision of the classifier by the nearest examples, the words, the features and the gate."""

from __future__ import annotations

import numpy as np
from msgspec import Struct, field

from gateway.prompt.classifier.classifier import Classifier, as_read
from gateway.prompt.classifier.model import Tier, TierFeatures, softmax
from gateway.prompt.classifier.view import look
from gateway.prompt.language.detect import language_of


class TierWhy(Struct, frozen=True):
    """The verdict of one tier, with the evidence for it."""

    tier: str
    intent: str
    confidence: float
    none: float
    """The gate's probability that no template fits the prompt."""
    chances: tuple[tuple[str, float], ...]
    """The most probable classes with their probabilities; "" is the class of prompts without a template."""
    nearest: tuple[tuple[str, str, float], ...]
    """The nearest examples, as (example, its intent, cosine)."""
    words: tuple[tuple[str, float], ...]
    """The words that contribute most to the intent's score, and their contributions in logits."""
    gate: tuple[tuple[str, float, float], ...]
    """The gate's features, as (feature, its value, its contribution to the gate's score)."""


class Explanation(Struct, frozen=True):
    """One decision with all its inputs and results."""

    text: str
    request: str = field(name="asked")
    """The text that was classified: the prompt without its payload."""
    payload_rule: str
    language: str
    intent: str
    confidence: float
    improvable: float
    decided_by: str
    lacks: tuple[str, ...]
    needs: tuple[str, ...]
    reasons: tuple[str, ...]
    tiers: tuple[TierWhy, ...]


async def why(classifier: Classifier, text: str) -> Explanation:
    """Classify a prompt, and explain the verdicts of all tiers, including those that the cascade skipped."""
    intent = await classifier.classify(text)
    language = language_of(text)
    taught, tiers = classifier.model.tiers.get(language, {}), []
    seen = look(text, None, classifier.model.instructions.get(language))
    seen = as_read(seen, taught) if taught else seen
    for kind, tier in taught.items():
        vector = await classifier.vector(kind, seen)
        if kind == "words" or vector is not None:
            tiers.append(_tier(kind, tier, tier.read(seen, vector)))
    return Explanation(
        text=text,
        request=seen.request,
        payload_rule=seen.rule,
        language=intent.language,
        intent=intent.name,
        confidence=intent.confidence,
        improvable=intent.improvable,
        decided_by=intent.tier,
        lacks=intent.lacks,
        needs=intent.needs,
        reasons=intent.reasons,
        tiers=tuple(tiers),
    )


def _tier(kind: str, tier: Tier, given: TierFeatures) -> TierWhy:
    signs = tier.weigh(given)
    within = tier.within(signs)
    chances = softmax(np.array(signs.scores)).tolist()
    order = sorted(range(len(chances)), key=lambda place: -chances[place])[:5]
    return TierWhy(
        tier=kind,
        intent=tier.names.classes[signs.top],
        confidence=within * tier.share(signs),
        none=1.0 - within,
        chances=tuple((tier.names.classes[place], chances[place]) for place in order),
        nearest=tuple(tier.nearest(given)),
        words=tuple(tier.strongest(given, signs.top, 8)),
        gate=tuple(tier.pushes(signs)),
    )
