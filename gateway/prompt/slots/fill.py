"""Fills a template's slots from the query by rules, and records where in the query each value was found.

If a required slot stays empty, the template is not used, since a prompt with gaps must never be sent.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from gateway.exchange import SlotValue
from gateway.prompt.language.certain_payload import certain
from gateway.prompt.language.payload import split
from gateway.prompt.language.values import READERS
from gateway.prompt.slots.finders import FINDERS, Place, QueryReading
from gateway.prompt.templates.fields import Slot, SlotSource
from gateway.prompt.templates.template import Template
from gateway.split import Split

TAKEN_APART = frozenset({SlotSource.PAYLOAD, SlotSource.INSTRUCTION})
"""The sources that return only one part of the query: its payload or its instruction."""


class FilledSlots(Struct, frozen=True):
    """The values of the filled slots. `values` are the texts for the body, and `slots` also have the places in the
    query.
    """

    values: Mapping[str, str]
    slots: tuple[SlotValue, ...]
    split: Split


class SlotMissing(Struct, frozen=True):
    """A required slot has no value, so the template cannot be used. `why` gives the reason."""

    slot: str
    why: str


def fill(
    template: Template,
    query: str,
    given: Sequence[SlotValue] = (),
    parts: Split | None = None,
    *,
    named: bool = False,
) -> FilledSlots | SlotMissing:
    """Return the values of all slots, or the first required slot without a usable value.

    `given` are values from other sources, for slots that the rules leave empty. `parts` is the result of splitting the
    query, if the caller already has it.

    If a required slot has a pattern as its source and the body does not use the slot, the slot is only a condition for
    the classifier. Such a slot may stay empty if the request names the template (`named`).
    """
    reading = QueryReading(parts or split(query), template.language)
    whole = certain(reading.split)
    sure = reading if whole is reading.split else QueryReading(whole, template.language)
    used = template.used_names
    others = {value.name: value for value in given}
    values = {"query": query}
    filled: list[SlotValue] = []
    for name, slot in template.slots.items():
        # only here can a split cut a sentence: the body writes an optional slot of plain text
        cut = sure if name in used and not slot.required and slot.type is None else reading
        value = _find(name, slot, reading, cut) or others.get(name)
        # nobody is told why an optional slot is empty, as most are
        why = _unfit(slot, value) if value is not None or slot.required else ""
        condition = name not in used and slot.sources == (SlotSource.PATTERN,)
        if why and slot.required and not (named and condition):
            return SlotMissing(name, why)
        if value is not None and not why:
            values[name] = value.value
            filled.append(value)
        elif slot.default:
            values[name] = slot.default
            filled.append(SlotValue(name, slot.default, "default"))
    return FilledSlots(values, tuple(filled), reading.split)


def empty_slots(template: Template, query: str, parts: Split | None = None) -> dict[str, Slot]:
    """Return the slots that the rules leave empty."""
    reading = QueryReading(parts or split(query), template.language)
    return {name: slot for name, slot in template.slots.items() if _find(name, slot, reading, reading) is None}


def read_value(slot: Slot, words: str) -> str | None:
    """Return the words converted to the slot's type, or None if they do not fit the type."""
    return words if slot.type is None else READERS[slot.type](words)


def _find(name: str, slot: Slot, reading: QueryReading, cut: QueryReading) -> SlotValue | None:
    """Return the value from the first source that finds one, or None.

    The sources in `TAKEN_APART` search `cut`. All other sources search `reading`.
    """
    for source in slot.sources:
        place: Place | None = FINDERS[source](slot, cut if source in TAKEN_APART else reading)
        if place is not None and place.value.strip():
            value = read_value(slot, place.value)
            if value is not None:
                return SlotValue(name, value, str(source), place.start, place.end)
    return None


def _unfit(slot: Slot, value: SlotValue | None) -> str:
    """Return the reason why the value cannot fill the slot, or "" if it can."""
    if value is None:
        kind = f"{slot.type} from " if slot.type and slot.sources else str(slot.type or "")
        return f"no {kind}{' or '.join(slot.sources)} was found in the query"
    if slot.max_chars and len(value.value) > slot.max_chars:
        return f"it has {len(value.value)} characters; the template takes {slot.max_chars}"
    return ""
