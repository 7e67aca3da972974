"""Reads the key `slots`, and the key `extract` for a model call that fills empty slots."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from msgspec import Struct, field

from gateway.prompt.templates.fields import Extract, Slot, SlotSource, SlotType
from gateway.prompt.templates.frontmatter import FrontMatterHead, suggest
from gateway.prompt.templates.patterns import NotBounded, Pattern

SOURCE_OF = {
    SlotType.NUMBER: SlotSource.NUMBER,
    SlotType.DATE: SlotSource.DATE,
    SlotType.LIST: SlotSource.OPTIONS,
    SlotType.ENUM: SlotSource.CHOICE,
    SlotType.LANGUAGE: SlotSource.LANGUAGE,
    SlotType.CODE: SlotSource.CODE,
}
"""The default source of a slot, by the type of the slot."""


class _SlotFront(Struct, frozen=True):
    sources: str | tuple[str, ...] = field(default="", name="from")
    type: SlotType | None = None
    required: bool = False
    default: str = ""
    max_chars: int = 0
    pattern: str = ""
    values: tuple[str, ...] | dict[str, tuple[str, ...]] = ()
    nearest: float = 0.0


def read_slot(head: FrontMatterHead, name: str, value: Any, reserved: Collection[str]) -> Slot:
    path = ("slots", name)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in reserved:
        raise head.error(f"{name!r} cannot be a slot's name (lower-case, and not {', '.join(reserved)})", *path)
    front = head.decode({"from": value} if isinstance(value, str) else value, _SlotFront, *path)
    sources = _sources(head, front, path)
    if not sources and front.type is not SlotType.TEXT:
        known = f"`from:`, one of: {', '.join(SlotSource)}; or `type:`, one of: {', '.join(SlotType)}"
        raise head.error(f"slot {name!r} must say {known}", *path)
    _check(head, name, front, sources)
    return Slot(
        sources=sources,
        required=front.required,
        default=front.default,
        max_chars=front.max_chars,
        pattern=_pattern(head, front.pattern, path),
        values=_values(front.values),
        type=front.type,
        nearest=front.nearest,
    )


def read_extract(head: FrontMatterHead, extract: Extract | None, slots: Mapping[str, Slot]) -> Extract | None:
    """Read `extract:`. Return None if the head does not have this key.

    Raises `TemplateError` for a mistake in the key, or for a slot that has no source and that the model call does not
    fill.
    """
    for name, slot in slots.items():
        if not slot.sources and (extract is None or (extract.slots and name not in extract.slots)):
            raise head.error(f"slot {name!r} must say `from:`, or be one of the slots of `extract:`", "slots", name)
    if extract is None:
        return None
    for index, name in enumerate(extract.slots):
        if name not in slots:
            raise head.error(f"no slot {name!r} is declared; {suggest(name, slots)}", "extract", "slots", index)
    if extract.timeout_ms < 1 or extract.max_tokens < 1:
        raise head.error("the call has a budget: `timeout_ms` and `max_tokens` are above 0", "extract")
    return extract


def _sources(head: FrontMatterHead, front: _SlotFront, path: tuple[str, ...]) -> tuple[SlotSource, ...]:
    written = (front.sources,) if isinstance(front.sources, str) else front.sources
    if written != ("",):
        return tuple(_source(head, word, path) for word in written)
    if front.pattern and front.type is not SlotType.NUMBER:
        return (SlotSource.PATTERN,)
    if front.type in SOURCE_OF:
        return (SOURCE_OF[front.type],)
    return (SlotSource.CHOICE,) if front.values else ()


def _check(head: FrontMatterHead, name: str, front: _SlotFront, sources: Collection[SlotSource]) -> None:
    path = ("slots", name)
    if SlotSource.PATTERN in sources and not front.pattern:
        raise head.error(f"slot {name!r} is from `pattern`, so it must say `pattern:`", *path)
    needs_values = {SlotSource.CHOICE, SlotSource.SECTION} & set(sources)
    if needs_values and not front.values:
        raise head.error(f"slot {name!r} is from `{needs_values.pop()}`, so it must say `values:`", *path)
    if front.type is SlotType.ENUM and not front.values:
        raise head.error(f"slot {name!r} is an enum, so it must say `values:`", *path)
    if front.nearest and front.type is not SlotType.ENUM:
        raise head.error("`nearest` is for slots of `type: enum`", *path, "nearest")
    if not 0 <= front.nearest <= 1:
        raise head.error("`nearest` is a similarity between 0 and 1, such as 0.6", *path, "nearest")
    if front.required and front.default:
        raise head.error(f"slot {name!r} has a default, so it cannot be missing; drop `required`", *path, "required")


def _source(head: FrontMatterHead, word: str, path: tuple[str, ...]) -> SlotSource:
    try:
        return SlotSource(word)
    except ValueError:
        raise head.error(f"unknown source {word!r}; {suggest(word, [*SlotSource])}", *path, "from") from None


def _pattern(head: FrontMatterHead, pattern: str, path: tuple[str, ...]) -> Pattern | None:
    if not pattern:
        return None
    try:
        compiled = Pattern(pattern)
    except NotBounded as error:
        raise head.error(str(error), *path, "pattern") from error
    if compiled.groups > 1:
        raise head.error("a pattern has at most one group: the value", *path, "pattern")
    return compiled


def _values(values: tuple[str, ...] | dict[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    if isinstance(values, dict):
        return {value: (value, *words) for value, words in values.items()}
    return {value: (value,) for value in values}
