"""The stage that looks the query up in the collections a request names, and puts what it finds
ahead of the user's own words: fenced as data, numbered, within a token budget, never as system.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.context.excerpt import excerpts
from gateway.context.fence import fenced, language_of, new_mark
from gateway.context.pack import CHUNK_TOKENS, SourceBudget, citations, pack
from gateway.context.store.catalog import Collection
from gateway.context.store.collections import Collections, Wish, tuning_of
from gateway.context.store.distinct import distinct
from gateway.context.window import PROMPT_TOKENS, Count, answer_room, is_kept, sizes_of, upper_bound
from gateway.errors import KeyNotAllowed, NotFound, NotReady, RequestError
from gateway.exchange import Chunk, ClientKey, Exchange, Mode, Turn
from gateway.filters import Filter
from gateway.ports import Vectors
from gateway.settings import Context

Embed = Callable[[Sequence[str]], Awaitable[Vectors]]

MOST_CHUNKS = 50
SPARE_CHUNKS = 2
"""How many times as many chunks are looked up as are used: some are dropped as duplicates."""
FENCE_TOKENS = 160
"""What the instruction and the fence cost (the Chinese one with a tokenizer that knows no Chinese)."""


class RetrievalLimits(Struct, frozen=True):
    """What a request may have: how many chunks, and how much of them, as `backend` counts."""

    query: str
    collections: tuple[str, ...]
    chunks: int
    budget: SourceBudget
    backend: str = ""
    filters: Filter | None = None


class RetrievedChunks(Struct, frozen=True):
    """The chunks to use; the best score of all that were looked at, and the floor it was held to. `tight`: there are
    chunks, and no room for any."""

    chunks: tuple[Chunk, ...]
    best: float = 0.0
    floor: float = 0.0
    tight: bool = False


class RetrieveStage:
    """Stage `retrieve`. `embed` and `collections` are None while they are loading; a note says so."""

    name = "retrieve"

    def __init__(
        self,
        settings: Context,
        count: Count,
        *,
        embed: Embed | None = None,
        collections: Collections | None = None,
        draw: Callable[[], str] = new_mark,
    ) -> None:
        self.settings = settings
        self.count = count
        self.embed = embed
        self.collections = collections
        self.draw = draw

    async def __call__(self, exchange: Exchange) -> Exchange:
        controls = exchange.ask.controls
        if not controls.collections:
            return exchange
        if not exchange.ask.endpoint.takes_messages:
            return exchange.noted(self.name, "skipped", "only chat completions and responses take sources")
        if exchange.key.mode is Mode.OFF:
            return exchange.noted(self.name, "skipped", "with this key nothing may be added to a prompt")
        if self.embed is None or self.collections is None:
            reason = "the collections are still loading, or [embedder] or [store] is not configured"
            return exchange.noted(self.name, "skipped", reason)
        query = exchange.ask.query.strip()
        if not query or not any(turn.role == "user" for turn in exchange.prompt):
            return exchange.noted(self.name, "skipped", "there is no user message in plain text to look up")
        wanted = await self._wanted(exchange, query)
        if wanted.budget.room <= 0:
            return exchange.noted(self.name, "skipped", "the model's window has no room left for sources")
        try:
            # the clock runs here rather than around the stage, since most requests name no collection
            async with asyncio.timeout(self.settings.budget_ms / 1000):
                vectors = await self.embed([query])
                found = await asyncio.to_thread(self._look_up, self.collections, exchange.key, wanted, vectors)
        except NotReady as error:
            return exchange.noted(self.name, "skipped", error.message)
        except TimeoutError:
            return exchange.noted(self.name, "skipped", f"took longer than {self.settings.budget_ms} ms")
        if found.chunks:
            return self._with(exchange, found.chunks)
        if found.tight:
            return exchange.noted(self.name, "skipped", f"no chunk fits into {wanted.budget.tokens} tokens")
        return exchange.noted(
            self.name, "nothing found", f"the best score is {found.best:.2f}, the floor {found.floor:.2f}"
        )

    async def _wanted(self, exchange: Exchange, query: str) -> RetrievalLimits:
        controls = exchange.ask.controls
        chunks = min(controls.top_k or self.settings.top_k, MOST_CHUNKS)
        budget = await self.budget(exchange, controls.budget_tokens or self.settings.budget_tokens, chunks)
        names = tuple(dict.fromkeys(controls.collections))
        backend = exchange.route[0].backend if exchange.route else ""
        return RetrievalLimits(query, names, chunks, budget, backend, controls.filters)

    async def budget(self, exchange: Exchange, tokens: int, chunks: int) -> SourceBudget:
        """For so many chunks with so many tokens, as far as the window of the model that answers has room for them."""
        room = await self._room(exchange, tokens + chunks * CHUNK_TOKENS)
        return SourceBudget(min(tokens, room), room)

    async def _room(self, exchange: Exchange, most: int) -> int:
        target = exchange.route[0] if exchange.route else None
        if target is None or not target.window_tokens:
            return most
        budget = target.window_tokens - answer_room(exchange, target) - FENCE_TOKENS
        turns = [turn for turn, stays in zip(exchange.prompt, is_kept(exchange.prompt), strict=True) if stays]
        used = upper_bound(turns)
        if used > budget - most:
            used = PROMPT_TOKENS + sum(await asyncio.to_thread(sizes_of, turns, target.backend, self.count))
        return min(most, budget - used)

    def packed(
        self,
        collections: Collections,
        ids: Mapping[str, str],
        query: str,
        chunks: Sequence[Chunk],
        wanted: RetrievalLimits,
    ) -> tuple[Chunk, ...]:
        """What of the chunks goes into the prompt: all of them where there is room, else the best parts. `ids` are
        those of the collections that the chunks name. On a worker thread."""
        counted = self._counted(chunks, wanted.backend)
        if counted and not wanted.budget.holds(sum(chunk.tokens for chunk in counted), len(counted)):

            def shares(collection: str, texts: Sequence[str]) -> Sequence[float]:
                return collections.documents(ids[collection]).likeness(query).shares(texts)

            counted = self._counted(excerpts(counted, wanted.budget, shares), wanted.backend)
        return pack(counted, wanted.budget)

    def _counted(self, chunks: Sequence[Chunk], backend: str) -> list[Chunk]:
        """The same with their tokens as the model that answers counts them."""
        return [replace(chunk, tokens=self.count(backend, chunk.text)) for chunk in chunks] if backend else list(chunks)

    def floor(self, collection: Collection) -> float:
        """What scores less is no answer."""
        return tuning_of(collection).floor if self.settings.floor is None else self.settings.floor

    def with_sources(self, exchange: Exchange, chunks: tuple[Chunk, ...]) -> Exchange:
        """The exchange with the chunks ahead of the user's own words."""
        language = exchange.intent.language or language_of(exchange.ask.query)
        turns = ahead_of_the_user(exchange.prompt, fenced(chunks, language, self.draw))
        return replace(exchange, turns=turns, chunks=chunks)

    def _look_up(
        self, collections: Collections, key: ClientKey, wanted: RetrievalLimits, vectors: Vectors
    ) -> RetrievedChunks:
        """Search, and choose what of it goes into the prompt. On a worker thread."""
        named = [_named(collections, name, key) for name in wanted.collections]
        wish = Wish(wanted.query, vectors[0], wanted.chunks * SPARE_CHUNKS, wanted.filters)
        founds = [self._in_one(collections, collection, wish) for collection in named]
        every = sorted((chunk for found in founds for chunk in found.chunks), key=lambda chunk: -chunk.score)
        chosen = distinct(every)[: wanted.chunks]
        ids = {collection.name: collection.id for collection in named}
        chunks = self.packed(collections, ids, wanted.query, chosen, wanted)
        nearest = max(founds, key=lambda found: found.best, default=RetrievedChunks(()))
        return replace(nearest, chunks=chunks, tight=bool(chosen and not chunks))

    def _in_one(self, collections: Collections, collection: Collection, wish: Wish) -> RetrievedChunks:
        """The chunks of one collection that are no worse than its floor."""
        hits = collections.look_up(collection, wish)
        collections.catalog.touch(collection.id)
        floor = self.floor(collection)
        chunks = tuple(replace(hit.chunk, collection=collection.name) for hit in hits if hit.score >= floor)
        return RetrievedChunks(chunks, hits[0].score if hits else 0.0, floor)

    def _with(self, exchange: Exchange, chunks: tuple[Chunk, ...]) -> Exchange:
        # in shadow mode the sources are recorded and not sent
        decision = "shadow" if exchange.mode is Mode.SHADOW else "retrieved"
        return self.with_sources(exchange, chunks).noted(self.name, decision, *told(chunks))


def told(chunks: Sequence[Chunk]) -> tuple[str, dict[str, Any]]:
    """What a note says of the chunks that were found."""
    collections = ", ".join(sorted({chunk.collection for chunk in chunks}))
    data = {"tokens": sum(chunk.tokens for chunk in chunks), "citations": citations(chunks)}
    return f"{len(chunks)} {'chunk' if len(chunks) == 1 else 'chunks'} of {collections}", data


def ahead_of_the_user(turns: Sequence[Turn], sources: str) -> tuple[Turn, ...]:
    """The prompt with the sources in the last user turn, or in one of their own ahead of it if it is not plain."""
    place = max(place for place, turn in enumerate(turns) if turn.role == "user")
    last = turns[place]
    if last.plain:
        return (*turns[:place], Turn("user", f"{sources}\n\n{last.text}"), *turns[place + 1 :])
    return (*turns[:place], Turn("user", sources), *turns[place:])


def _named(collections: Collections, name: str, key: ClientKey) -> Collection:
    """The collection that a request names. Raises `KeyNotAllowed` or `NotFound`, and tells of no other key's."""
    found = collections.find(name, key)
    if found is not None:
        return found
    if key.collections and name not in key.collections:
        raise _refused(KeyNotAllowed, f"This key may not read the collection {name!r}.", "collection_not_allowed")
    known = [collection.name for collection in collections.readable(key)]
    listed = f"Known: {', '.join(known)}." if known else "There are none yet: add one with `foreword collections add`."
    raise _refused(NotFound, f"There is no collection {name!r}. {listed}", "collection_not_found")


def _refused(kind: type[RequestError], message: str, code: str) -> RequestError:
    return kind(message, param="foreword.collections", code=code)
