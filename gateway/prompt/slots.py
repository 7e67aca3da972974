"""Fills a template's slots from the query, without a model, and says where each value stood.

A required slot that cannot be filled makes the whole template silent: never a half-filled prompt.
"""

from collections.abc import Mapping

from msgspec import Struct

from gateway.exchange import SlotValue
from gateway.prompt.fields import Slot
from gateway.prompt.finders import FINDERS, Place, Reading
from gateway.prompt.payload import Split, split
from gateway.prompt.template import Template


class Filled(Struct, frozen=True):
    """Every slot that was found, as text for the body and with its place in the query."""

    values: Mapping[str, str]
    slots: tuple[SlotValue, ...]
    split: Split


class Missing(Struct, frozen=True):
    """Why the template cannot speak."""

    slot: str
    why: str


def fill(template: Template, query: str) -> Filled | Missing:
    """The values of all slots, or the first reason why the template has to be silent."""
    reading = Reading(split(query), template.language)
    values = {"query": query}
    found: list[SlotValue] = []
    for name, slot in template.slots.items():
        source, place = _find(slot, reading)
        if place is None and slot.required:
            return Missing(name, f"no {' or '.join(slot.sources)} was found in the query")
        if place is not None and slot.max_chars and len(place.value) > slot.max_chars:
            if slot.required:
                return Missing(name, f"it has {len(place.value)} characters; the template takes {slot.max_chars}")
            place = None
        if place is not None:
            values[name] = place.value
            found.append(SlotValue(name, place.value, source, place.start, place.end))
        elif slot.default:
            values[name] = slot.default
            found.append(SlotValue(name, slot.default, "default"))
    return Filled(values, tuple(found), reading.split)


def _find(slot: Slot, reading: Reading) -> tuple[str, Place | None]:
    for source in slot.sources:
        place = FINDERS[source](slot, reading)
        if place is not None and place.value.strip():
            return str(source), place
    return "", None
