"""Fills the slots that the rules left empty.

A slot of type enum gets the value most similar to a word in the query. One model call fills the other slots. The model
may only quote from the query: other words in its answer are dropped.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from gateway.ask import Turn
from gateway.errors import NotReady
from gateway.exchange import Call, Exchange, Sampling, SlotValue
from gateway.own_call import own_call
from gateway.prompt.language.payload import split
from gateway.prompt.language.vocabulary import VOCABULARY
from gateway.prompt.slots.fill import empty_slots, read_value
from gateway.prompt.slots.finders import SEARCHED_CHARS
from gateway.prompt.templates.body_filters import fenced
from gateway.prompt.templates.fields import Extract, Slot, SlotType
from gateway.prompt.templates.template import Template

if TYPE_CHECKING:
    from gateway.ports import Completer, Vectors

Embed = Callable[[Sequence[str]], Awaitable["Vectors"]]

MOST_GRAMS = 32
"""At most this many words and word pairs of the query, counted together, are compared with the values of an enum."""

_GRAM = re.compile(r"[^\W\d_][\w'’-]{2,}|[\u3400-\u9fff]{2}")
_ANSWER = re.compile(r"\{.*\}", re.DOTALL)


class ExtractedSlots(Struct, frozen=True):
    """Values for slots that the rules left empty. `calls` are the model calls, and `dropped` explains each rejected
    answer.
    """

    values: tuple[SlotValue, ...] = ()
    calls: tuple[Call, ...] = ()
    dropped: tuple[str, ...] = ()


NOTHING = ExtractedSlots()


class Extractor:
    """Fills empty slots. The vectors of enum values are cached, so only words of the query are embedded for each
    request.
    """

    def __init__(self) -> None:
        self._embed: Embed | None = None
        self._vectors: dict[tuple[str, ...], Vectors] = {}

    async def __call__(
        self, template: Template, exchange: Exchange, embed: Embed | None, completer: Completer | None, budget_s: float
    ) -> ExtractedSlots:
        """Return the values that were found within the time limits. Some slots may stay empty."""
        empty = empty_slots(template, exchange.ask.query, exchange.split)
        nearest = {name: slot for name, slot in empty.items() if slot.nearest}
        nearest_values = await self._nearest(nearest, exchange.ask.query, embed, budget_s) if nearest and embed else ()
        wish = template.extract
        names = [name for name in _names_to_ask(wish, empty) if name not in {value.name for value in nearest_values}]
        if wish is None or not names or completer is None or not exchange.may_call:
            return ExtractedSlots(nearest_values)
        extracted = await _call(template, wish, {name: empty[name] for name in names}, exchange, completer)
        return ExtractedSlots((*nearest_values, *extracted.values), extracted.calls, extracted.dropped)

    async def _nearest(
        self, slots: Mapping[str, Slot], query: str, embed: Embed, budget_s: float
    ) -> tuple[SlotValue, ...]:
        grams = _grams(query)
        if not grams:
            return ()
        try:
            async with asyncio.timeout(budget_s):
                gram_vectors = await embed([query[start:end] for start, end in grams])
                value_vectors = [await self._of(slot, embed) for slot in slots.values()]
        except (TimeoutError, NotReady):
            return ()
        pairs = zip(slots.items(), value_vectors, strict=True)
        return tuple(
            value for (name, slot), vectors in pairs if (value := _best(name, slot, gram_vectors @ vectors.T, grams))
        )

    async def _of(self, slot: Slot, embed: Embed) -> Vectors:
        if embed is not self._embed:
            self._embed, self._vectors = embed, {}
        words = tuple(word for words in slot.values.values() for word in words)
        if words not in self._vectors:
            self._vectors[words] = await embed(words)
        return self._vectors[words]


def wants_more(template: Template) -> bool:
    """Return whether any slot of this template may be filled by an embedding or a model."""
    return template.extract is not None or any([slot.nearest for slot in template.slots.values()])


def _names_to_ask(wish: Extract | None, empty: Mapping[str, Slot]) -> Sequence[str]:
    if wish is None:
        return ()
    return [name for name, slot in empty.items() if name in wish.slots or (not wish.slots and slot.type is not None)]


def _grams(query: str) -> list[tuple[int, int]]:
    """Return (start, end) of each single word and of each pair of neighbouring words in the instruction."""
    spans = split(query[:SEARCHED_CHARS]).instruction
    words = [match.span() for span in spans for match in _GRAM.finditer(query, span.start, span.end)]
    pairs = [(first[0], second[1]) for first, second in pairwise(words) if second[0] - first[1] <= 1]
    return [*words[: MOST_GRAMS // 2], *pairs[: MOST_GRAMS // 2]]


def _best(name: str, slot: Slot, scores: Any, grams: Sequence[tuple[int, int]]) -> SlotValue | None:
    """Return the enum value with the greatest similarity to a word of the query, or None if the similarity is too low.

    `scores` is [grams, words].
    """
    owners = [value for value, words in slot.values.items() for _ in words]
    gram, word = divmod(int(scores.argmax()), len(owners))
    if scores[gram, word] < slot.nearest:
        return None
    return SlotValue(name, owners[word], "nearest", *grams[gram])


async def _call(
    template: Template, wish: Extract, slots: Mapping[str, Slot], exchange: Exchange, completer: Completer
) -> ExtractedSlots:
    query = exchange.ask.query[:SEARCHED_CHARS]
    text, call = await own_call(
        completer,
        exchange,
        [Turn("user", _question(template, slots, query))],
        purpose="slots",
        model=wish.model,
        sampling=Sampling(wish.max_tokens, 0.0),
        timeout_s=wish.timeout_ms / 1000,
        schema=schema_of(slots),
    )
    if call.error:
        return ExtractedSlots(calls=(call,), dropped=(f"the call for slots failed: {call.error}",))
    answer = _json(text)
    if answer is None:
        return ExtractedSlots(calls=(call,), dropped=("the answer of the call for slots is not a JSON object",))
    values, dropped = [], []
    for name, slot in slots.items():
        words = answer.get(name)
        value = checked(name, slot, words, query)
        if value is not None:
            values.append(value)
        elif words:
            dropped.append(f"{name}: the model's answer is not in the query, or is no {slot.type or 'text'}")
    return ExtractedSlots(tuple(values), (call,), tuple(dropped))


def _question(template: Template, slots: Mapping[str, Slot], query: str) -> str:
    words = VOCABULARY[template.language].extract
    keys = "\n".join(f"- {name}: {slot.type or 'text'}" for name, slot in slots.items())
    return f"{words.ask.strip()}\n\n{keys}\n\n{words.text}:\n{fenced(query)}"


def schema_of(slots: Mapping[str, Slot]) -> dict[str, Any]:
    """Return the JSON schema of an object with a key for each slot. In an answer, null means that the slot has no
    value.
    """
    text: dict[str, Any] = {"type": ["string", "null"]}
    kinds = {SlotType.LIST: {"type": ["array", "null"], "items": {"type": "string"}}}
    properties = {
        name: {"enum": [*slot.values, None]} if slot.type is SlotType.ENUM else kinds.get(slot.type, text)  # type: ignore[arg-type]
        for name, slot in slots.items()
    }
    return {"type": "object", "properties": properties, "required": [*slots], "additionalProperties": False}


def checked(name: str, slot: Slot, words: Any, query: str) -> SlotValue | None:
    """Return the slot's value with its place in the query, or None if the model's answer cannot be used.

    `words` is the model's answer for the slot, and may be any JSON value. For an enum, the answer must be one of the
    values. For other types, the query must contain the words, and the words must fit the type.
    """
    if slot.type is SlotType.ENUM:
        if not isinstance(words, str) or words not in slot.values:
            return None
        places = (place for word in slot.values[words] if (place := locate(query, word)))
        return SlotValue(name, words, "model", *next(places, (-1, -1)))
    items = words if isinstance(words, list) else [words]
    spans = [place for item in items if isinstance(item, str) and (place := locate(query, item))]
    if not spans or (len(spans) > 1 and slot.type is not SlotType.LIST):
        return None
    own = "\n".join(query[start:end] for start, end in spans)
    value = read_value(slot, own)
    if value is None:
        return None
    return SlotValue(name, value, "model", min(start for start, _ in spans), max(end for _, end in spans))


def locate(query: str, words: str) -> tuple[int, int] | None:
    """Return (start, end) of the words in the query, or None if they are not found.

    The comparison ignores letter case, character width and differences in white space.
    """
    target = " ".join(words.split())
    if not target:
        return None
    start = query.find(words)
    if start >= 0:
        return start, start + len(words)
    plain, places = _plain(query)
    small, _ = _plain(target)
    start = plain.find(small)
    return (places[start], places[start + len(small) - 1] + 1) if start >= 0 else None


def _plain(text: str) -> tuple[str, list[int]]:
    """Return the text in one letter case and width, with single blanks, and the original index of each character."""
    pieces: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        piece = " " if character.isspace() else unicodedata.normalize("NFKC", character).casefold()
        if piece == " " and pieces and pieces[-1] == " ":
            continue
        pieces += piece
        places += [place] * len(piece)
    return "".join(pieces), places


def _json(text: str) -> dict[str, Any] | None:
    """Return the JSON object in an answer, or None if there is none. The object may be in a code fence."""
    match = _ANSWER.search(text)
    try:
        data = msgspec.json.decode(match[0]) if match else None
    except (msgspec.DecodeError, RecursionError):
        return None
    return data if isinstance(data, dict) else None
