"""The stage for prompts by name. It fills the template that the request names with values from the request.

The client asked for the template, so this stage runs in any mode. A mistake in the request is an error, since an
incomplete prompt must never be sent. The client's own messages follow the template's messages.
"""

import re
from collections.abc import Mapping

import jinja2
from msgspec.structs import replace

from gateway.ask import Mode, NamedTemplate, Turn
from gateway.errors import BadRequest, NotFound, NotReady, TemplateError
from gateway.exchange import Exchange, SlotValue
from gateway.near import did_you_mean
from gateway.prompt.compose import ComposedPrompt
from gateway.prompt.kept import KeptAsIs
from gateway.prompt.language.detect import language_of
from gateway.prompt.language.payload import split
from gateway.prompt.library.library import Library
from gateway.prompt.library.names import ENGLISH, id_of
from gateway.prompt.rewrite import SYSTEM, RewriteStage
from gateway.prompt.slots.fill import FilledSlots, SlotMissing, fill, read_value
from gateway.prompt.templates.fields import Slot, SlotSource, SlotType, Status
from gateway.prompt.templates.template import Template
from gateway.split import Split

QUERY = "query"
"""The variable that may hold the user's whole question. Slots without a variable of their own are filled from the
question.
"""


class NamedPromptStage:
    """The stage `prompt`. `rewrite` renders the template, and is None if the gateway has no templates."""

    name = "prompt"

    def __init__(self, rewrite: RewriteStage | None) -> None:
        self._rewrite = rewrite

    async def __call__(self, exchange: Exchange) -> Exchange:
        named = exchange.ask.named
        if named is None:
            return exchange
        if self._rewrite is None:
            # without templates the gateway is a plain proxy, and the backend may know the prompt
            return exchange.noted(self.name, "passed on", "this gateway has no templates")
        if named.fault:
            raise BadRequest(named.fault, param="prompt.version", code="invalid_value")
        if self._rewrite.library is None:
            raise NotReady("The templates are still loading. Try again.", retry_after_s=1.0)
        template = find(self._rewrite.library, named, exchange)
        filled = fill_named(template, named.variables)
        _check_whole(template, filled)
        try:
            prompt = await self._rewrite.spoken(template, filled, replace(exchange, mode=Mode.ON))
        except KeptAsIs as unchanged:
            raise NotReady(f"The prompt {template.ref} cannot be used now: {unchanged.reason}.") from unchanged
        except TemplateError as error:
            raise _wrong("prompt.variables", f"{template.ref}: {error.what}") from error
        return _spoken(exchange, named, prompt)


def find(library: Library, named: NamedTemplate, exchange: Exchange) -> Template:
    """Return the template that the request names by id or family. Raises `NotFound`.

    For a family, the template in the client's language is preferred.
    """
    id = _id(library, named, exchange)
    try:
        in_use = None if named.version else library.speaking.get(id)
        template = in_use or library.get(id, named.version or None)
    except TemplateError as error:
        raise _missing(named, f"its file cannot be read any more: {error.what}") from error
    if template is None:
        versions = sorted(other.version for other in library.templates if other.id == id)
        listed = ", ".join(map(str, versions))
        raise _missing(named, f"its versions are {listed}" if len(versions) > 1 else f"its only version is {listed}")
    if template.status is Status.RETIRED and not named.version:
        raise _missing(named, "it is retired; name a version to use it anyway")
    return template


def fill_named(template: Template, variables: Mapping[str, str]) -> FilledSlots:
    """Fill the slots with the client's values. Raises `BadRequest` if a value is missing, unknown or of the wrong type.

    If the client also sends the whole question, the remaining slots are filled from the question. Otherwise, a required
    slot without a value gets the value of another slot with the same source.
    """
    for name in variables:
        if name not in template.slots and name != QUERY:
            known = [*template.slots, QUERY]
            raise _wrong(
                f"prompt.variables.{name}", f"{template.ref} has no slot {name!r}. {did_you_mean(name, known)}"
            )
    own = {
        name: SlotValue(name, _checked(template, name, variables[name]), "variable")
        for name in template.slots
        if name in variables
    }
    query = variables.get(QUERY, "")
    parts = split(query)
    slots = {**_from_query(template, query, own, parts), **own} if query else _without_query(template, own)
    ordered = tuple(slots[name] for name in template.slots if name in slots)
    return FilledSlots({QUERY: query, **{slot.name: slot.value for slot in ordered}}, ordered, parts)


def _id(library: Library, named: NamedTemplate, exchange: Exchange) -> str:
    id = id_of(library, named.id, _language(named, exchange))
    if not id:
        known = {template.id for template in library.templates} | {template.family for template in library.templates}
        raise _missing(named, did_you_mean(named.id, known))
    return id


def _language(named: NamedTemplate, exchange: Exchange) -> str:
    """Return the language of the client's values, else of the client's messages, else English."""
    for text in (*sorted(named.variables.values(), key=len, reverse=True), exchange.ask.query):
        language = language_of(text)
        if language:
            return language
    return ENGLISH


def _from_query(template: Template, query: str, own: Mapping[str, SlotValue], parts: Split) -> dict[str, SlotValue]:
    filled = fill(template, query, tuple(own.values()), parts, named=True)
    if isinstance(filled, SlotMissing):
        raise _lacking(template, filled.slot, filled.why)
    return {slot.name: slot for slot in filled.slots}


def _without_query(template: Template, own: Mapping[str, SlotValue]) -> dict[str, SlotValue]:
    slots = dict(own)
    for name, slot in template.slots.items():
        if name in own:
            continue
        same = _same_words(slot, template.slots, own) if slot.required else ""
        if same:
            slots[name] = replace(own[same], name=name)
        elif slot.required:
            raise _lacking(
                template,
                name,
                f"no value was given. Give one, or {QUERY!r}, the whole question that contains the value",
            )
        elif slot.default:
            slots[name] = SlotValue(name, slot.default, "default")
    return slots


def _same_words(slot: Slot, slots: Mapping[str, Slot], own: Mapping[str, SlotValue]) -> str:
    """Return the name of another slot that has a value and the same source, or ""."""
    if slot.sources[0] not in (SlotSource.PAYLOAD, SlotSource.QUERY, SlotSource.QUESTION, SlotSource.CODE):
        return ""
    return next((name for name in own if slots[name].sources[0] is slot.sources[0]), "")


def _checked(template: Template, name: str, words: str) -> str:
    """Return the variable's value, converted to the type of its slot. Raises `BadRequest` if the value does not fit."""
    slot, param = template.slots[name], f"prompt.variables.{name}"
    if slot.required and not words.strip():
        raise _lacking(template, name, "it is empty")
    if slot.max_chars and len(words) > slot.max_chars:
        raise _wrong(param, f"it has {len(words)} characters; {template.ref} takes {slot.max_chars}.")
    if slot.values and (slot.type is SlotType.ENUM or SlotSource.CHOICE in slot.sources):
        return _one_of(slot, words, param)
    value = read_value(slot, words)
    if value is None:
        raise _wrong(param, f"{words[:40]!r} is not a {slot.type}.")
    return value


def _one_of(slot: Slot, words: str, param: str) -> str:
    word = words.strip().casefold()
    for value, names in slot.values.items():
        if word in (name.casefold() for name in (value, *names)):
            return value
    raise _wrong(param, f"use one of {', '.join(slot.values)}.")


def _check_whole(template: Template, filled: FilledSlots) -> None:
    """Raise `BadRequest` if the template uses a variable without a value. The variable may be the whole question."""
    if filled.values[QUERY]:
        return
    given = {name: value for name, value in filled.values.items() if name != QUERY}
    try:
        template.render(given)
    except jinja2.UndefinedError as error:
        name = _undefined(template, str(error))
        used = set().union(*(part.body.names for part in template.parts))
        others = [slot for slot in template.slots if slot in used and slot not in given and slot != name]
        choices = " or ".join(map(repr, others)) if name == QUERY else f"{QUERY!r}, the whole question"
        why = f"no value was given, and the template uses {{{{ {name} }}}}" + (
            f". Give one, or {choices}" if choices else ""
        )
        raise _lacking(template, name, why) from None
    except TemplateError:
        return  # the prompt is too long; this is reported when the whole prompt is rendered


def _undefined(template: Template, message: str) -> str:
    """Return the name of the slot in jinja's error message, or `query` if the message names no slot."""
    name = next(iter(re.findall(r"'(\w+)' is undefined", message)), QUERY)
    return name if name in template.slots else QUERY


def _spoken(exchange: Exchange, named: NamedTemplate, prompt: ComposedPrompt) -> Exchange:
    template = prompt.template
    ask = replace(
        exchange.ask,
        turns=ahead_of(prompt.turns, exchange.ask.turns),
        named=replace(named, id=template.id, version=template.version, filled=True),
    )
    return replace(
        exchange,
        ask=ask,
        rewrite=prompt.spoke(),
        procedure=prompt.procedure,
        calls=(*exchange.calls, *prompt.calls),
        sampling=prompt.sampling,
    ).noted("prompt", "spoken", f"{template.ref}: the request names it", prompt.data)


def ahead_of(rendered: tuple[Turn, ...], own: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """Return the template's messages, followed by the client's messages.

    If both have a system text, the texts are joined in one message, with the template's text first.
    """
    systems = [turn for turn in own if turn.role in SYSTEM and turn.plain]
    others = tuple(turn for turn in own if turn not in systems)
    if not systems:
        return (*rendered, *others)
    if rendered[0].role != "system":
        return (*systems, *rendered, *others)
    joined = "\n\n".join([rendered[0].text, *(turn.text for turn in systems)])
    return (Turn("system", joined), *rendered[1:], *others)


def _lacking(template: Template, slot: str, why: str) -> BadRequest:
    param = f"prompt.variables.{slot}"
    return BadRequest(
        f"Missing required parameter: '{param}': {template.ref} needs this parameter, and {why}.",
        param=param,
        code="missing_required_parameter",
    )


def _wrong(param: str, why: str) -> BadRequest:
    return BadRequest(f"Invalid value for '{param}': {why}", param=param, code="invalid_value")


def _missing(named: NamedTemplate, why: str) -> NotFound:
    version = f" in version {named.version}" if named.version else ""
    return NotFound(f"There is no prompt {named.id!r}{version}: {why}", param="prompt.id", code="prompt_not_found")
