"""The stage `classify`. It finds the intent of a prompt, the trust in the intent, and whether a rewrite can help.

The static embedding answers first, on the event loop. If its confidence is below `[prompt] first_tier`, the sentence
model answers on another thread. An unknown intent is a valid result. This module does not import numpy; `train.trained`
makes the model.
"""

from __future__ import annotations

from msgspec.structs import replace

from gateway.exchange import Exchange, Note
from gateway.prompt.classifier.classifier import Classifier
from gateway.prompt.eligible import why_untouchable
from gateway.prompt.language.payload import split


class ClassifyStage:
    """The stage `classify`. `classifier` is None while it is loading."""

    name = "classify"

    def __init__(self, classifier: Classifier | None = None) -> None:
        self.classifier = classifier

    async def __call__(self, exchange: Exchange) -> Exchange:
        reason = why_untouchable(exchange)
        exchange = replace(exchange, untouchable=reason)
        if reason:
            return exchange.noted(self.name, "untouched", reason)
        if exchange.ask.controls.template:
            return exchange.noted(self.name, "not needed", "the request names its template")
        if self.classifier is None:
            return exchange.noted(self.name, "unknown", "the classifier is still loading")
        query = exchange.ask.query
        if self.classifier.wrote(query):
            return exchange.noted(self.name, "untouched", "a template has already written the message")
        parts = split(query)
        intent = await self.classifier.classify(query, parts)
        data = {
            "intent": intent.name,
            "confidence": round(intent.confidence, 3),
            "improvable": round(intent.improvable, 3),
            "language": intent.language,
            "tier": intent.tier,
            "lacks": list(intent.lacks),
            "needs": list(intent.needs),
            "reasons": list(intent.reasons),
        }
        note = Note(self.name, intent.name or "unknown", next(iter(intent.reasons), ""), data)
        return replace(exchange, intent=intent, split=parts, notes=(*exchange.notes, note))
