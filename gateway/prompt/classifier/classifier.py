"""Classifies a prompt with one or two models. The result is the intent, its probability, and whether a rewrite can
help.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from gateway.errors import NotReady
from gateway.exchange import Intent
from gateway.ports import Embedder
from gateway.prompt.classifier.fingerprints import FixedSentences
from gateway.prompt.classifier.needs import lacks, needs
from gateway.prompt.classifier.rawness import measures
from gateway.prompt.classifier.view import Look, core, look, told, whole
from gateway.prompt.language.detect import language_of, load_detector
from gateway.settings.prompt import PromptTable
from gateway.split import Split

if TYPE_CHECKING:
    from gateway.ports import Vectors
    from gateway.prompt.classifier.model import ClassifierModel, Tier, TierVerdict

NO_INTENT = 0.5
"""If the first tier finds "no intent" with at least this probability, the second tier is not asked."""
NO_INTENT_TECHNICAL = 0.95
"""The limit in place of `NO_INTENT` for a request with a technical name, since most such requests have an intent."""
HOPELESS = 0.03
"""With less confidence of the first tier, the request has no intent, and its sentences are not looked at."""
GREETING_CHARS = 12
"""A text that is not longer and in no known language is a greeting such as "hi", or as empty as one."""
QUOTED_CHARACTERS = 80  # how many characters of an example a reason quotes


class Asynchronous(Protocol):
    """An embedder with an asynchronous `embed`, such as `context.embedding.batcher.Batcher`."""

    async def embed(self, texts: Sequence[str]) -> Vectors: ...


class Classifier:
    """A trained model with its embedders. It never changes; after a new training, a new classifier replaces it."""

    def __init__(
        self,
        model: ClassifierModel,
        settings: PromptTable,
        static: Embedder | None = None,
        sentence: Asynchronous | None = None,
    ) -> None:
        self.model = model
        self._fixed = FixedSentences(model.fixed)
        self._settings = settings
        self._static = static
        self._sentence = sentence
        load_detector()

    async def classify(self, text: str, parts: Split | None = None) -> Intent:
        """Return the intent of a prompt, or an unknown intent with the reasons. `improvable` is always set.

        `parts` is the split prompt, if the caller has already split it.
        """
        language = language_of(text) or self._listed_in(text)
        seen = look(text, parts, self.model.instructions.get(language))
        measured = measures(seen)
        tiers = self.model.tiers.get(language)
        needed = needs(seen, language)
        if not tiers:
            reason = _why_no_template(text, language)
            return self._without_intent(
                language, (reason,), measured, lacks(seen, measured, language, intent=False), needed
            )
        verdict, tier = await self._cascade(seen, language)
        known = verdict.confidence >= self._settings.confidence
        lacked = lacks(seen, measured, language, intent=known)
        if not known:
            unknown = self._without_intent(language, self._unknown(verdict), measured, lacked, needed)
            return replace(unknown, confidence=verdict.confidence, tier=tier)
        # the form of a prompt does not show what the task needs; the template leaves out what the prompt already says
        reasons = (*_known(verdict), "its template adds what the prompt leaves open")
        return Intent(verdict.name, verdict.confidence, verdict.confidence, language, tier, reasons, lacked, needed)

    def _without_intent(
        self,
        language: str,
        reasons: tuple[str, ...],
        measured: list[float],
        lacked: tuple[str, ...],
        needed: tuple[str, ...],
    ) -> Intent:
        """Return a result without an intent. Only the prompt's form decides whether the refiner can improve the
        prompt.
        """
        raw, signs = self.model.rawness.judge(measured)
        looks = f"looks {'raw' if raw >= self._settings.improvable else 'well specified'}: {', '.join(signs)}"
        return Intent("", 0.0, raw, language, "", (*reasons, looks), lacked, needed)

    async def _cascade(self, seen: Look, language: str) -> tuple[TierVerdict, str]:
        """Return a verdict and the tier that gave it. The second tier is asked only if the first is unsure.

        A request whose sentences only lead to one that asks is judged by that sentence too, so that it does not matter
        how much somebody tells before asking.
        """
        tiers = self.model.tiers[language]
        seen = as_read(seen, tiers)
        kind, tier = next(iter(tiers.items()))  # all tiers have the same examples
        recalled = tier.recall(seen)
        if recalled is not None:
            return recalled, kind
        views, firsts = [seen], [self._first(seen, tiers)]
        if firsts[0] is None or firsts[0].confidence < self._settings.first_tier:
            for view in self._other_views(seen, firsts[0], language):
                recalled = tier.recall(view)
                if recalled is not None:
                    return recalled, kind
                views.append(view)
                firsts.append(self._first(view, tiers))
        judged = [verdict for verdict in firsts if verdict is not None]
        first = max(judged, key=_confidence) if judged else None
        second = tiers.get("sentence") if self._sentence is not None else None
        if first and (second is None or self._is_clear(first)):
            return first, _first_kind(tiers)
        if second is None or self._sentence is None:
            raise NotReady("the embedding that the classifier was trained on is not loaded")
        try:
            vectors = await self._sentence.embed([view.request for view in views])
        except NotReady:
            if first is None:
                raise
            return first, _first_kind(tiers)  # the embedder is overloaded, and this verdict is better than none
        verdicts = [second.judge(view, vector) for view, vector in zip(views, vectors, strict=True)]
        return max(verdicts, key=_confidence), "sentence"

    def _other_views(self, seen: Look, first: TierVerdict | None, language: str) -> list[Look]:
        """Return the other views by which a request is judged whose first verdict is not clear."""
        hopeless = first is not None and first.confidence < HOPELESS
        asking = None if hopeless else core(seen, self.model.instructions.get(language))
        return [view for view in (asking, told(seen)) if view is not None]

    def _first(self, seen: Look, tiers: Mapping[str, Tier]) -> TierVerdict | None:
        """Return the verdict of the first tier, or None if its embedding is missing."""
        if "static" in tiers and self._static is not None:
            return tiers["static"].judge(seen, self._static.embed([seen.request])[0])
        return tiers["words"].judge(seen) if "words" in tiers else None

    def _is_clear(self, verdict: TierVerdict) -> bool:
        """Return whether the first tier's verdict is certain enough. "No intent" needs less certainty, since leaving a
        prompt unchanged is the smaller mistake.
        """
        enough = NO_INTENT_TECHNICAL if verdict.technical else NO_INTENT
        return verdict.confidence >= self._settings.first_tier or verdict.none >= enough

    def _listed_in(self, text: str) -> str:
        """Return the language of the templates that list exactly this prompt as an example, or "". This language is
        used if the detector finds none.
        """
        for code, tiers in self.model.tiers.items():
            if next(iter(tiers.values())).recall(look(text, None, self.model.instructions.get(code))):
                return code
        return ""

    def wrote(self, text: str) -> bool:
        """Return whether a template of the library wrote the prompt. The prompt then contains a fixed sentence of a
        template.
        """
        return self._fixed.occur_in(text)

    async def verdict(self, text: str) -> tuple[TierVerdict, str] | None:
        """Return the most probable intent, even if it is improbable, and the tier that chose it.

        The result is None if there is no template in the prompt's language.
        """
        language = language_of(text)
        if language not in self.model.tiers:
            return None
        return await self._cascade(look(text, None, self.model.instructions.get(language)), language)

    async def vector(self, kind: str, seen: Look) -> Vectors | None:
        """Return the prompt's embedding [dimensions] for a tier, or None if the embedder is missing."""
        if kind == "static" and self._static is not None:
            row: Vectors = self._static.embed([seen.request])[0]
            return row
        if kind == "sentence" and self._sentence is not None:
            return (await self._sentence.embed([seen.request]))[0]  # type: ignore[no-any-return]  # a numpy row
        return None

    def _unknown(self, verdict: TierVerdict) -> tuple[str, ...]:
        if verdict.none >= 0.5:
            return (f"unlike the prompts of any template (probability {verdict.none:.2f})", *_near(verdict))
        best = f"the best intent, {verdict.name}, has {verdict.confidence:.2f}, below {self._settings.confidence:.2f}"
        return (best, *_near(verdict))


def _why_no_template(text: str, language: str) -> str:
    if language:
        return f"there is no template in the language {language!r}"
    if len(text.strip()) <= GREETING_CHARS:
        return "a greeting or a few letters: nothing to improve"
    return "no template is in this language"


def as_read(seen: Look, tiers: Mapping[str, Tier]) -> Look:
    """Return the view of the prompt that these tiers use: its instruction, or the whole prompt."""
    return whole(seen.text) if next(iter(tiers.values())).names.whole else seen


def _confidence(verdict: TierVerdict) -> float:
    return verdict.confidence


def _first_kind(tiers: Mapping[str, Tier]) -> str:
    return "static" if "static" in tiers else "words"


def _known(verdict: TierVerdict) -> tuple[str, ...]:
    words = (f"words: {', '.join(verdict.words)}",) if verdict.words else ()
    listed = ("its template lists this very prompt as a match example",) if verdict.listed else ()
    return (*_near(verdict), *words, *listed)


def _near(verdict: TierVerdict) -> tuple[str, ...]:
    if not verdict.nearest:
        return ()
    return (f"nearest example of {verdict.name} ({verdict.similarity:.2f}): {_shown(verdict.nearest)}",)


@lru_cache(maxsize=1024)  # the same examples appear in many reasons
def _shown(example: str) -> str:
    shown = " ".join(example.split())
    return shown if len(shown) <= QUOTED_CHARACTERS else f"{shown[: QUOTED_CHARACTERS - 1]}…"
