"""The stage `rewrite`. It chooses a template for the intent, fills the slots, and adds the nearest examples.

`compose.py` renders the template. It rejects a rendered prompt that lacks any of the user's words.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gateway import exchange as values
from gateway.ask import Mode, Turn
from gateway.errors import (
    BackendFailed,
    NotFound,
    NotReady,
    TemplateError,
)
from gateway.exchange import Arm, Exchange, Note
from gateway.near import did_you_mean
from gateway.prompt import guards
from gateway.prompt.answers.technique import technique_of
from gateway.prompt.compose import ComposedPrompt, compose, fill_or_keep, keep_if_hostile, keep_if_same
from gateway.prompt.cost import cost_of, estimated_tokens
from gateway.prompt.eligible import why_untouchable
from gateway.prompt.examples import ExampleChooser
from gateway.prompt.first_calls import CallFailed, first_calls, stand_ins
from gateway.prompt.kept import KeptAsIs, OtherQuestion
from gateway.prompt.language.detect import language_of
from gateway.prompt.language.payload import split
from gateway.prompt.library.library import Library, OfferedVersions
from gateway.prompt.library.names import id_of
from gateway.prompt.library.pools import Pools
from gateway.prompt.policy.arms import RewriteDecision
from gateway.prompt.policy.decide import RewritePolicy
from gateway.prompt.slots.extract import NOTHING, ExtractedSlots, Extractor, wants_more
from gateway.prompt.slots.fill import FilledSlots
from gateway.prompt.templates.fields import Status
from gateway.prompt.templates.template import Template, read_ref
from gateway.settings.prompt import PromptTable

if TYPE_CHECKING:
    from gateway.ports import Completer, Nearby, Vectors

LONGEST_QUERY_CHARS = 200_000
"""The maximum length of a message that is searched for slots. A longer message is a document, and searching it would
delay other requests.
"""

SYSTEM = ("system", "developer")

Embed = Callable[[Sequence[str]], Awaitable["Vectors"]]


class RewriteStage:
    """The stage `rewrite`. `library`, `pools`, `embed` and `store` are None until they are loaded."""

    name = "rewrite"

    def __init__(
        self,
        settings: PromptTable,
        library: Library | None = None,
        pools: Pools | None = None,
        embed: Embed | None = None,
        completer: Completer | None = None,
        policy: RewritePolicy | None = None,
        *,
        store: Nearby | None = None,
        extractor: Extractor | None = None,
    ) -> None:
        self.settings = settings
        self.policy = policy or RewritePolicy()
        self.completer = completer
        self.library = library
        self.embed = embed
        self._examples = ExampleChooser(pools, embed, store, settings.budget_ms)
        self._extract = extractor or Extractor()

    async def __call__(self, exchange: Exchange) -> Exchange:
        if exchange.mode is Mode.OFF or exchange.rewrite != values.Rewrite.NONE:
            return exchange
        try:
            return await self.rewritten(exchange)
        except KeptAsIs as unchanged:
            data = (
                {"template": unchanged.template.id, "version": unchanged.template.version} if unchanged.template else {}
            )
            noted = exchange.noted(self.name, "kept", unchanged.reason, data)
            return replace(noted, calls=(*exchange.calls, *unchanged.calls)) if unchanged.calls else noted

    async def rewritten(self, exchange: Exchange) -> Exchange:
        """Return the exchange with the template's prompt. Raises `KeptAsIs`.

        Depending on the policy, the prompt is sent or only recorded.
        """
        *special, general = self._offered(exchange)
        for offered in special:
            with suppress(OtherQuestion):
                return await self._rewrite(exchange, offered)
        return await self._rewrite(exchange, general)

    async def _rewrite(self, exchange: Exchange, offered: OfferedVersions) -> Exchange:
        template, chosen = self._choose(exchange, offered)
        # no model is called for a prompt that is not sent
        prompt = await self._speak(template, exchange if chosen.speaks else replace(exchange, dry=True))
        return _rewritten(exchange, prompt, chosen)

    def _choose(self, exchange: Exchange, offered: OfferedVersions) -> tuple[Template, RewriteDecision]:
        """Return the template for the request, and the decision whether to send its prompt. Raises `KeptAsIs`."""
        chosen = self.policy.decide(exchange, offered)
        if chosen.template is None or chosen.arm is Arm.NONE:
            raise KeptAsIs(chosen.why, chosen.template)
        if not chosen.template.whole and not exchange.ask.controls.template:
            reason = "it splits the message, so it is used only for requests that name it"
            raise KeptAsIs(f"{chosen.template.ref}: {reason}", chosen.template)
        return chosen.template, chosen

    def _offered(self, exchange: Exchange) -> Sequence[OfferedVersions]:
        """Return the versions to try in order. Templates for only one question come before the others. Raises
        `KeptAsIs`.

        If the client names a template, the result has only that template.
        """
        reason = why_untouchable(exchange)
        if reason:
            raise KeptAsIs(reason)
        if self.library is None:
            raise KeptAsIs("the template library is still loading", refusal=NotReady)
        if exchange.ask.controls.template:
            language = language_of(exchange.ask.query)
            return (OfferedVersions(_named(self.library, exchange.ask.controls.template, language)),)
        intent = exchange.intent
        if not intent.known:
            raise KeptAsIs("no known intent")
        needed = self.settings.confidence
        if intent.confidence < needed:
            raise KeptAsIs(f"intent {intent.name!r} is only {intent.confidence:.2f} certain; {needed:.2f} is needed")
        if intent.improvable < self.settings.improvable:
            raise KeptAsIs(f"improvable {intent.improvable:.2f} is below {self.settings.improvable:.2f}")
        target = exchange.route[0] if exchange.route else None
        model, window = (target.model, target.window_tokens) if target else (exchange.ask.model, 0)
        *special, general = self.library.alternatives(intent.name, intent.language, model, window)
        if general != OfferedVersions():
            return (*special, general)
        if not special:
            language = intent.language or "this language"
            raise KeptAsIs(f"no active template for {intent.name!r} in {language} that fits model {model!r}")
        return special

    async def _speak(self, template: Template, exchange: Exchange) -> ComposedPrompt:
        """Fill the slots, choose examples, render the template, and check the result. Raises `KeptAsIs`."""
        query = exchange.ask.query
        if len(query) > LONGEST_QUERY_CHARS:
            raise KeptAsIs(f"the message has {len(query)} characters; at most {LONGEST_QUERY_CHARS} are searched")
        keep_if_hostile(template, query)
        parts = exchange.split or split(query)
        exchange = replace(exchange, split=parts)
        more = await self._more_slots(template, exchange) if wants_more(template) else NOTHING
        try:
            named = bool(exchange.ask.controls.template)
            filled = fill_or_keep(template, query, more.values, parts, named=named)
            shots, labels = await self._examples.choose(template, filled, exchange.key, named=named)
            prompt = compose(template, filled, query, shots, labels)
            if template.calls:
                prompt = await self._after_calls(prompt, exchange, filled, labels)
            self._keep_if_grown(prompt, query)
            if not named:
                keep_if_same(prompt, query)
        except TemplateError as error:
            raise KeptAsIs(str(error), template, more.calls) from error
        except KeptAsIs as unchanged:
            unchanged.calls = (*more.calls, *unchanged.calls)
            raise
        return replace(prompt, calls=(*more.calls, *prompt.calls), dropped=more.dropped) if more.calls else prompt

    async def spoken(self, template: Template, filled: FilledSlots, exchange: Exchange) -> ComposedPrompt:
        """Render a template whose slots are already filled, with its examples and first calls.

        Raises `KeptAsIs` or `TemplateError`.
        """
        shots, labels = await self._examples.choose(template, filled, exchange.key, named=True)
        turns = template.render(filled.values, shots, labels)
        prompt = ComposedPrompt(template, turns, filled.slots, tuple(shots), technique_of(template, filled.values))
        return await self._after_calls(prompt, exchange, filled, labels) if template.calls else prompt

    async def _more_slots(self, template: Template, exchange: Exchange) -> ExtractedSlots:
        return await self._extract(template, exchange, self.embed, self.completer, self.settings.budget_ms / 1000)

    def _keep_if_grown(self, prompt: ComposedPrompt, query: str) -> None:
        """Raise `KeptAsIs` if the template adds more characters than the template's or the gateway's limit allows."""
        most = prompt.template.growth_chars or self.settings.growth_chars
        grown = guards.growth(query, prompt.turns)
        if grown > most:
            reason = f"{prompt.template.id} would add {grown} characters; it may add {most}"
            raise KeptAsIs(reason, prompt.template, prompt.calls)

    async def _after_calls(
        self, prompt: ComposedPrompt, exchange: Exchange, filled: FilledSlots, labels: Sequence[str]
    ) -> ComposedPrompt:
        """Make the template's first calls, and return the prompt with their answers.

        If no model may be called, placeholders replace the answers. Raises `KeptAsIs` or `TemplateError`.
        """
        template = prompt.template
        if self.completer is None or not exchange.may_call:
            known = {**filled.values, **stand_ins(template)}
            return replace(prompt, turns=template.render(known, prompt.shots, labels))
        try:
            known, calls = await first_calls(template, exchange, filled.values, prompt.shots, labels, self.completer)
        except CallFailed as failed:
            raise KeptAsIs(failed.reason, template, failed.calls, BackendFailed) from failed
        return replace(
            prompt,
            turns=template.render(known, prompt.shots, labels),
            procedure=technique_of(template, known),
            calls=calls,
        )


def _named(library: Library, ref: str, language: str) -> Template:
    """Return the template that the client names by `id` or `id@version`. Raises `KeptAsIs`.

    The id may also be a family.
    """
    try:
        id, version = read_ref(ref)
    except ValueError:
        raise KeptAsIs(f"there is no template {ref[:80]!r}: a version is a whole number", refusal=NotFound) from None
    id = id_of(library, id, language) or id
    template = library.get(id, version)
    if template is None:
        known = [other.ref for other in library.templates if other.id == id] or {
            other.id for other in library.templates
        }
        raise KeptAsIs(f"there is no template {ref[:80]!r}. {did_you_mean(ref, known)}", refusal=NotFound)
    if template.status is Status.RETIRED:
        raise KeptAsIs(f"the template {ref!r} is retired", template)
    return template


def _rewritten(exchange: Exchange, prompt: ComposedPrompt, chosen: RewriteDecision) -> Exchange:
    template, done = prompt.template, replace(prompt.spoke(chosen.arm), controls=chosen.controls)
    data = prompt.data | {"arm": str(chosen.arm)}
    if prompt.dropped:
        data["dropped"] = list(prompt.dropped)
    if prompt.procedure or template.calls:
        data["cost"] = str(cost_of(template))
    why = "the request names it" if exchange.ask.controls.template else f"intent {exchange.intent.name}"
    reason = f"{template.ref}: {why}" + (f"; {chosen.why}" if chosen.why else "")
    turns = _beside(exchange.prompt, prompt.turns)
    done = replace(done, tokens_without=estimated_tokens(exchange.prompt), tokens_with=estimated_tokens(turns))
    if not chosen.speaks and exchange.mode.changes:
        return replace(exchange, rewrite=replace(done, withheld=turns)).noted("rewrite", chosen.arm, reason, data)
    return replace(
        exchange,
        turns=turns,
        rewrite=done,
        proven=chosen.proven,
        procedure=prompt.procedure,
        calls=(*exchange.calls, *prompt.calls),
        sampling=prompt.sampling,
        # the note says "rewritten" only if the prompt is sent
        notes=(*exchange.notes, Note("rewrite", "rewritten" if chosen.speaks else str(chosen.arm), reason, data)),
    )


def _beside(own: tuple[Turn, ...], rendered: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """Return the client's earlier messages, followed by the template's messages.

    If both have a system text, the texts are joined in one message, with the client's text first.
    """
    *before, last = own
    if rendered[-1].text.startswith(last.text, rendered[-1].offset):
        rendered = (*rendered[:-1], replace(rendered[-1], around=last.source))
    systems = [turn for turn in before if turn.role in SYSTEM]
    if not systems or rendered[0].role != "system":
        return (*before, *rendered)
    others = tuple(turn for turn in before if turn.role not in SYSTEM)
    return (_joined(systems, rendered[0]), *others, *rendered[1:])


def _joined(systems: Sequence[Turn], rendered: Turn) -> Turn:
    """Join the system texts in one message.

    If the client has only one system message, the joined message keeps the other fields of that message.
    """
    text = "\n\n".join([*(turn.text for turn in systems if turn.text.strip()), rendered.text])
    if len(systems) == 1 and text.startswith(systems[0].text):
        return Turn(systems[0].role, text, around=systems[0].source)
    return Turn("system", text)
