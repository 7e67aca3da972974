"""Chooses the few-shot examples for a request.

A pool's examples all answer one question about a text. They are used only if the request asks the same
question, or if the client names the template.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gateway.ask import ClientKey
from gateway.errors import CollectionError, KeyNotAllowed, NotReady
from gateway.prompt.kept import KeptAsIs, OtherQuestion
from gateway.prompt.language.certain_payload import only_text
from gateway.prompt.library.pools import EmbeddedPool, Pools, of_chunks
from gateway.prompt.library.questions import without_text
from gateway.prompt.slots.fill import FilledSlots
from gateway.prompt.templates.fields import ExamplePool, Shot
from gateway.prompt.templates.template import Template
from gateway.split import Split, TextSpan

if TYPE_CHECKING:
    from gateway.ports import Nearby, Vectors

Embed = Callable[[Sequence[str]], Awaitable["Vectors"]]
Examples = tuple[tuple[Shot, ...], tuple[str, ...]]
"""The examples for a request, and all labels."""
NO_EXAMPLES: Examples = ((), ())


class _AsksOtherwise(Exception):
    """The request does not ask the pool's question. The message gives the reason."""


class ExampleChooser:
    """Chooses the examples for a request. `pools`, `embed` and `store` are None while they are loading."""

    def __init__(self, pools: Pools | None, embed: Embed | None, store: Nearby | None, budget_ms: int) -> None:
        self._pools = pools
        self._embed = embed
        self._store = store
        self._budget_ms = budget_ms

    async def choose(self, template: Template, filled: FilledSlots, key: ClientKey, *, named: bool) -> Examples:
        """Return the examples for a request. Raises `KeptAsIs`.

        `named` tells whether the client named the template. If so, the request gets the nearest examples,
        whatever the request asks.
        """
        pool = template.examples
        if not isinstance(pool, ExamplePool):
            return pool, fixed_labels(template)
        if not named and not pool.question:
            return NO_EXAMPLES
        try:
            async with asyncio.timeout(self._budget_ms / 1000):
                choose = self._nearest if named else self._answering
                return await choose(template, pool, filled, key)
        except _AsksOtherwise as other:
            if pool.required is False:
                return NO_EXAMPLES
            raise OtherQuestion(f"the examples of {template.id} answer another question: {other}", template) from None
        except TimeoutError:
            reason = f"choosing the examples took longer than {self._budget_ms} ms"
            raise KeptAsIs(reason, template, refusal=NotReady) from None
        except CollectionError as error:
            raise KeptAsIs(f"the examples of {template.id}: {error}", template, refusal=NotReady) from error

    async def _nearest(self, template: Template, pool: ExamplePool, filled: FilledSlots, key: ClientKey) -> Examples:
        """Return the examples nearest to the value of the template's `shot_slot`."""
        embed, loaded = self._ready(template, pool)
        vector = (await embed([filled.values.get(template.shot_slot, filled.values["query"])]))[0]
        span = None if template.shot_slot == "query" else only_text(filled.split)
        return self._worded(template, filled.split, span, await self._search(template, pool, loaded, vector, key))

    async def _answering(self, template: Template, pool: ExamplePool, filled: FilledSlots, key: ClientKey) -> Examples:
        """Return the examples nearest to the text of the request, if the request asks the pool's question. Raises
        `_AsksOtherwise`.
        """
        embed, loaded = self._ready(template, pool)
        question = self._pools.question_of(template) if self._pools else None
        if question is None:
            raise _not_ready(template)
        span = only_text(filled.split)
        if span is None:
            raise _AsksOtherwise("its text is uncertain: not quoted, not fenced, and not alone after a line break")
        query = filled.split.query
        request = without_text(query, span)
        reason = question.words.why_other(request, question.labels)
        if not reason:
            about, text = await embed([request, query[span.start : span.end]])
            reason = question.why_other(request, about)
            if not reason and loaded is not None and loaded.likeness(text) < loaded.least:
                reason = f"its text is unlike every example ({loaded.likeness(text):.2f})"
        if reason:
            raise _AsksOtherwise(reason)
        return self._worded(template, filled.split, span, await self._search(template, pool, loaded, text, key))

    def _ready(self, template: Template, pool: ExamplePool) -> tuple[Embed, EmbeddedPool | None]:
        loaded = self._pools.of(template) if self._pools else None
        if self._embed is None or (self._store if pool.collection else loaded) is None:
            raise _not_ready(template)
        return self._embed, loaded

    async def _search(
        self, template: Template, pool: ExamplePool, loaded: EmbeddedPool | None, vector: Vectors, key: ClientKey
    ) -> Examples:
        if loaded is not None:
            return loaded.nearest(vector), loaded.rows.labels
        assert self._store is not None
        if key.collections and pool.collection not in key.collections:
            reason = f"this key may not use the collection with the examples of {template.id}"
            raise KeptAsIs(reason, template, refusal=KeyNotAllowed)
        chunks = await asyncio.to_thread(self._store.search, pool.collection, vector, 2 * pool.k)
        shots = of_chunks(chunks, pool)
        return shots, tuple(sorted({shot.output for shot in shots}))

    def _worded(self, template: Template, parts: Split, span: TextSpan | None, examples: Examples) -> Examples:
        """Return the examples, each with the wording of the client's message. The example's text takes the place of the
        client's text.
        """
        shots, labels = examples
        if not (template.shot_turns and template.whole and span):
            return examples
        before, after = parts.query[: span.start], parts.query[span.end :]
        return tuple(replace(shot, input=f"{before}{shot.input}{after}") for shot in shots), labels


def fixed_labels(template: Template) -> tuple[str, ...]:
    """Return the distinct outputs of a template's own examples, in the order of the examples."""
    shots = () if isinstance(template.examples, ExamplePool) else template.examples
    return tuple(dict.fromkeys(shot.output for shot in shots))


def _not_ready(template: Template) -> KeptAsIs:
    what = "are still loading, cannot be read, or lack an [embedder]"
    return KeptAsIs(f"the examples of {template.id} {what}", template, refusal=NotReady)
