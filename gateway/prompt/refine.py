"""The stage `refine`. If no template was used for a prompt, a model improves and completes the prompt.

If anything fails, the client's own prompt is sent, and a note in the record gives the reason.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from gateway import exchange as values
from gateway.ask import ClientKey, Mode, Turn
from gateway.errors import TemplateError
from gateway.exchange import Arm, Call, Exchange, Sampling
from gateway.own_call import own_call
from gateway.prompt import guards
from gateway.prompt.cost import estimated_tokens
from gateway.prompt.eligible import why_untouchable
from gateway.prompt.language.vocabulary import VOCABULARY
from gateway.prompt.library.library import Library
from gateway.prompt.policy.arms import takes_part
from gateway.prompt.policy.decide import RewritePolicy
from gateway.prompt.refined_answer import Rejected, read_refined
from gateway.prompt.templates.fields import Purpose
from gateway.prompt.templates.template import Template
from gateway.settings.prompt import Refiner

if TYPE_CHECKING:
    from gateway.ports import Completer

PURPOSE = "refine"


class RefinedPrompt(Struct, frozen=True):
    """The result of the refiner. `text` is a better prompt, or "" if the prompt is already good.

    If the refiner's answer was rejected, `rejected` is the reason.
    """

    text: str = ""
    rejected: str = ""


class RefinedPromptCache:
    """A cache of the refiner's results, by digest.

    The cache keeps the `entries` most recently used results, each for at most `ttl_s` seconds. Each worker has its own
    cache.
    """

    def __init__(self, entries: int, ttl_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._size, self._ttl_s, self._clock = entries, ttl_s, clock
        self._entries: OrderedDict[bytes, tuple[float, RefinedPrompt]] = OrderedDict()

    def get(self, digest: bytes) -> RefinedPrompt | None:
        expires_s, refined = self._entries.get(digest, (0.0, None))
        if refined is None or expires_s < self._clock():
            return None
        self._entries.move_to_end(digest)
        return refined

    def put(self, digest: bytes, refined: RefinedPrompt) -> None:
        self._entries[digest] = self._clock() + self._ttl_s, refined
        self._entries.move_to_end(digest)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)


class MeasuredRefiner(Struct, frozen=True):
    """A refiner's text in the gain table. The digest covers the refiner's template and its model."""

    text_digest: str
    language: str

    @classmethod
    def of(cls, template: Template, model: str) -> MeasuredRefiner:
        parts = f"{template.text_digest}\0{model}".encode("utf-8", "surrogatepass")
        return cls(hashlib.sha256(parts).hexdigest(), template.language)


class _LeftUnrefined(Exception):
    """The client's prompt is sent unchanged. The message gives the reason."""

    def __init__(self, reason: str, calls: tuple[Call, ...] = (), template: Template | None = None) -> None:
        super().__init__(reason)
        self.reason, self.calls, self.template = reason, calls, template


class RefineStage:
    """The stage `refine`. When the library is reloaded, a new stage is made, and the cache is passed on to it."""

    name = "refine"

    def __init__(
        self,
        settings: Refiner,
        completer: Completer,
        library: Library | None,
        cache: RefinedPromptCache | None = None,
        policy: RewritePolicy | None = None,
    ) -> None:
        self.settings = settings
        self._completer = completer
        self._library = library
        self._policy = policy or RewritePolicy()
        self._cache = cache or RefinedPromptCache(settings.cache_entries, settings.cache_ttl_s)

    async def __call__(self, exchange: Exchange) -> Exchange:
        if exchange.mode is Mode.OFF or exchange.turns is not None or exchange.rewrite != values.Rewrite.NONE:
            return exchange
        try:
            template = self._template(exchange)
            proven = self._proven(template, exchange)
            refined, calls = await self._ask(template, exchange)
        except _LeftUnrefined as unrefined:
            data = (
                {"template": unrefined.template.id, "version": unrefined.template.version} if unrefined.template else {}
            )
            noted = exchange.noted(self.name, "kept", unrefined.reason, data)
            return replace(noted, calls=(*exchange.calls, *unrefined.calls)) if unrefined.calls else noted
        return replace(self._polished(exchange, template, refined, calls), proven=proven)

    def _proven(self, template: Template, exchange: Exchange) -> tuple[str, ...] | None:
        """Return the models that may get the refined prompt, or None for all models.

        Raises `_LeftUnrefined` if the first model on the route may not get it.
        """
        if exchange.mode is Mode.SHADOW or not self._policy.needs_proof(exchange, template.id):
            return None
        refiner = MeasuredRefiner.of(template, self.settings.model)
        proven = self._policy.proven(exchange, refiner)
        first = exchange.route[0].model if exchange.route else exchange.ask.model
        if first not in proven:
            raise _LeftUnrefined(f"it would be refined; {self._policy.not_proven(refiner, first)}", (), template)
        return proven

    def _template(self, exchange: Exchange) -> Template:
        """Return the refiner's template. Raises `_LeftUnrefined` if the prompt must not be refined."""
        reason = why_untouchable(exchange)
        if not reason and exchange.ask.controls.template:
            reason = "the request names its template"
        intent, needed = exchange.intent, self.settings.improvable
        if not reason and intent.improvable < needed:
            reason = f"improvable {intent.improvable:.2f} is below {needed:.2f}"
        outside = [trial for trial in exchange.trials if not takes_part(exchange, trial)]
        if not reason and outside:
            reason = f"outside the {outside[0].share:.0%} of {outside[0].name}"
        if reason:
            raise _LeftUnrefined(reason)
        template = refiner_of(self._library, intent.language)
        if template is None:
            raise _LeftUnrefined(f"no active template to refine prompts in {intent.language or 'this language'}")
        words = guards.hostile(exchange.ask.query)
        if words:
            raise _LeftUnrefined(
                f"the prompt tells the model to ignore or to show its instructions: {words[:60]!r}", (), template
            )
        return template

    async def _ask(self, template: Template, exchange: Exchange) -> tuple[str, tuple[Call, ...]]:
        """Return a better prompt from the cache or the model, and the calls that were made. Raises `_LeftUnrefined`."""
        query = exchange.ask.query
        digest = self._digest(template, query, exchange.key)
        calls: tuple[Call, ...] = ()
        known = self._cache.get(digest)
        if known is None:
            if not exchange.may_call:
                raise _LeftUnrefined(
                    "it would be refined; no model is called in a preview or in shadow mode", (), template
                )
            known, call = await self._call(template, exchange)
            calls = (call,)
            if known is None:
                raise _LeftUnrefined(f"the refiner failed: {call.error}", calls, template)
            self._cache.put(digest, known)
            if known.text:
                # a refined prompt that an application sends again is not refined again
                self._cache.put(self._digest(template, known.text, exchange.key), RefinedPrompt())
        if known.rejected:
            raise _LeftUnrefined(known.rejected, calls, template)
        if not known.text:
            raise _LeftUnrefined("the prompt is good as it is, or was refined before", calls, template)
        return known.text, calls

    async def _call(self, template: Template, exchange: Exchange) -> tuple[RefinedPrompt | None, Call]:
        query, settings = exchange.ask.query, self.settings
        try:
            turns = template.render({"query": query})
        except TemplateError as error:
            raise _LeftUnrefined(str(error), (), template) from error
        output = template.output
        text, call = await own_call(
            self._completer,
            exchange,
            turns,
            purpose=PURPOSE,
            model=settings.model,
            sampling=Sampling(settings.max_tokens, output.temperature, output.stop),
            timeout_s=settings.budget_ms / 1000,
        )
        if call.error:
            return None, call
        try:
            refined = read_refined(query, text, language=exchange.intent.language, growth=settings.growth)
        except Rejected as why:
            return RefinedPrompt(rejected=str(why)), call
        return RefinedPrompt(refined), call

    def _polished(self, exchange: Exchange, template: Template, refined: str, calls: tuple[Call, ...]) -> Exchange:
        text = refined
        if self.settings.attach_original:
            label = VOCABULARY[template.language].refine.original
            text = f"{refined}\n\n{label}\n{exchange.ask.query}"
        data = {"template": template.id, "version": template.version, "cached": not calls}
        arm = Arm.SHADOW if exchange.mode is Mode.SHADOW else Arm.NONE
        reason = f"{template.ref}: no template was used, and the prompt can be improved"
        turns = (*exchange.prompt[:-1], Turn("user", text))
        return replace(
            exchange,
            turns=turns,
            rewrite=values.Rewrite(
                template.id,
                template.version,
                PURPOSE,
                arm=arm,
                tokens_without=estimated_tokens(exchange.prompt),
                tokens_with=estimated_tokens(turns),
            ),
            calls=(*exchange.calls, *calls),
        ).noted(self.name, str(arm) or "refined", reason, data)

    def _digest(self, template: Template, text: str, key: ClientKey) -> bytes:
        """Return the prompt's key in the cache.

        The digest includes the name of the client's key. Otherwise, a cache hit could reveal the prompt of another
        client.
        """
        parts = (key.name, template.digest, self.settings.model, text.strip())
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()


def refiner_of(library: Library | None, language: str) -> Template | None:
    """Return the active template that refines prompts in this language, or None. The highest version is preferred."""
    templates = library.templates if library else ()
    refiners = [
        template
        for template in templates
        if template.purpose is Purpose.REFINE and template.active and template.language == language
    ]
    return max(refiners, key=lambda template: template.version, default=None)
