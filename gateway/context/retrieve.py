"""The stage that searches the collections in a request. The results are put before the user's own words. They are
fenced as data, numbered, within a token budget, and never a system message.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.ask import ClientKey, Mode, Turn
from gateway.context.excerpt import excerpts
from gateway.context.fence import MarkOf, fenced, hashed_mark, language_of
from gateway.context.pack import CHUNK_TOKENS, SourceBudget, citations, pack
from gateway.context.store.catalog import Collection
from gateway.context.store.collections import Collections, Wish, tuning_of
from gateway.context.store.distinct import distinct
from gateway.context.window import PROMPT_TOKENS, Count, answer_room, is_kept, sizes_of, upper_bound
from gateway.errors import KeyNotAllowed, NotFound, NotReady, RequestError
from gateway.exchange import Chunk, Exchange
from gateway.filters import Filter
from gateway.ports import Vectors
from gateway.settings.context import Context

Embed = Callable[[Sequence[str]], Awaitable[Vectors]]

MOST_CHUNKS = 50
SPARE_CHUNKS = 2
"""A search returns this many times as many chunks as are needed, since duplicates are dropped."""
FENCE_TOKENS = 160
"""The number of tokens of instruction and fence. This is the number in Chinese, for a tokenizer without Chinese
words.
"""
LISTED = 20
"""The number of collections that an error message lists."""


class RetrievalLimits(Struct, frozen=True):
    """The limits of a request: the number of chunks, and the number of their tokens as `backend` counts them."""

    query: str
    collections: tuple[str, ...]
    chunks: int
    budget: SourceBudget
    backend: str = ""
    filters: Filter | None = None


class RetrievedChunks(Struct, frozen=True):
    """The chunks to use, the best score, and the floor for the scores. `tight` is true if chunks were found and none of
    them fits.
    """

    chunks: tuple[Chunk, ...]
    best: float = 0.0
    floor: float = 0.0
    tight: bool = False


class RetrieveStage:
    """The stage `retrieve`. While `embed` and `collections` are loading, they are None and a note says so."""

    name = "retrieve"

    def __init__(
        self,
        settings: Context,
        count: Count,
        *,
        embed: Embed | None = None,
        collections: Collections | None = None,
        mark_of: MarkOf = hashed_mark,
    ) -> None:
        self.settings = settings
        self.count = count
        self.embed = embed
        self.collections = collections
        self.mark_of = mark_of

    async def __call__(self, exchange: Exchange) -> Exchange:
        controls = exchange.ask.controls
        if not controls.collections:
            return exchange
        if not exchange.ask.endpoint.takes_messages:
            return exchange.noted(self.name, "skipped", "only chat completions and responses take sources")
        if exchange.key.mode is Mode.OFF:
            return exchange.noted(self.name, "skipped", "with this key nothing may be added to a prompt")
        if self.embed is None or self.collections is None:
            reason = (
                "the collections are still loading or could not be loaded (/health/ready says which), "
                "or [embedder] or [store] is not configured"
            )
            return exchange.noted(self.name, "skipped", reason)
        query = exchange.ask.query.strip()
        if not query or not any(turn.role == "user" for turn in exchange.prompt):
            return exchange.noted(self.name, "skipped", "there is no user message in plain text to search for")
        limits = await self._limits(exchange, query)
        if limits.budget.room <= 0:
            return exchange.noted(self.name, "skipped", "the model's window has no room left for sources")
        try:
            # the time limit is set here, since most requests name no collection and need none
            async with asyncio.timeout(self.settings.budget_ms / 1000):
                vectors = await self.embed([query])
                result = await asyncio.to_thread(self._look_up, self.collections, exchange.key, limits, vectors)
        except NotReady as error:
            return exchange.noted(self.name, "skipped", error.message)
        except TimeoutError:
            return exchange.noted(self.name, "skipped", f"took longer than {self.settings.budget_ms} ms")
        if result.chunks:
            return self._with(exchange, result.chunks)
        if result.tight:
            return exchange.noted(self.name, "skipped", f"no chunk fits into {limits.budget.tokens} tokens")
        return exchange.noted(
            self.name, "nothing found", f"the best score is {result.best:.2f}, the floor {result.floor:.2f}"
        )

    async def _limits(self, exchange: Exchange, query: str) -> RetrievalLimits:
        controls = exchange.ask.controls
        chunks = min(controls.top_k or self.settings.top_k, MOST_CHUNKS)
        budget = await self.budget(exchange, controls.budget_tokens or self.settings.budget_tokens, chunks)
        names = tuple(dict.fromkeys(controls.collections))
        backend = exchange.route[0].backend if exchange.route else ""
        return RetrievalLimits(query, names, chunks, budget, backend, controls.filters)

    async def budget(self, exchange: Exchange, tokens: int, chunks: int) -> SourceBudget:
        """Return the budget for this number of chunks and tokens, limited by the window of the answering model."""
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
        chunks: Sequence[Chunk],
        limits: RetrievalLimits,
    ) -> tuple[Chunk, ...]:
        """Choose the chunks for the prompt. If they do not all fit, their best sentences are used.

        The chunks must name their collections by id. Call this on a worker thread.
        """
        counted = self._counted(chunks, limits.backend)
        if counted and not limits.budget.holds(sum(chunk.tokens for chunk in counted), len(counted)):

            def shares(collection: str, texts: Sequence[str]) -> Sequence[float]:
                return collections.documents(collection).likeness(limits.query).shares(texts)

            counted = self._counted(excerpts(counted, limits.budget, shares), limits.backend)
        return pack(counted, limits.budget)

    def _counted(self, chunks: Sequence[Chunk], backend: str) -> list[Chunk]:
        """Return the chunks with the numbers of tokens that the answering model counts."""
        return [replace(chunk, tokens=self.count(backend, chunk.text)) for chunk in chunks] if backend else list(chunks)

    def floor(self, collection: Collection) -> float:
        """Return the floor of a collection. Chunks with a lower score are not used."""
        return tuning_of(collection).floor if self.settings.floor is None else self.settings.floor

    def with_sources(self, exchange: Exchange, chunks: tuple[Chunk, ...]) -> Exchange:
        """Put the chunks before the user's own words."""
        language = exchange.intent.language or language_of(exchange.ask.query)
        turns = ahead_of_the_user(exchange.prompt, fenced(chunks, language, self.mark_of))
        return replace(exchange, turns=turns, chunks=chunks)

    def _look_up(
        self, collections: Collections, key: ClientKey, limits: RetrievalLimits, vectors: Vectors
    ) -> RetrievedChunks:
        """Search, and choose the chunks for the prompt. Call this on a worker thread."""
        named = {store.id: store for store in (_named(collections, name, key) for name in limits.collections)}
        wish = Wish(limits.query, vectors[0], limits.chunks * SPARE_CHUNKS, limits.filters)
        results = [self._in_one(collections, collection, wish) for collection in named.values()]
        every = sorted((chunk for result in results for chunk in result.chunks), key=lambda chunk: -chunk.score)
        chosen = distinct(every)[: limits.chunks]
        titles = titles_of(list(named.values()))
        chunks = tuple(
            replace(chunk, collection=titles[chunk.collection]) for chunk in self.packed(collections, chosen, limits)
        )
        nearest = max(results, key=lambda result: result.best, default=RetrievedChunks(()))
        return replace(nearest, chunks=chunks, tight=bool(chosen and not chunks))

    def _in_one(self, collections: Collections, collection: Collection, wish: Wish) -> RetrievedChunks:
        """Return the chunks of one collection that reach its floor."""
        hits = collections.look_up(collection, wish)
        collections.catalog.touch(collection)
        floor = self.floor(collection)
        chunks = tuple(hit.chunk for hit in hits if hit.score >= floor)
        return RetrievedChunks(chunks, hits[0].score if hits else 0.0, floor)

    def _with(self, exchange: Exchange, chunks: tuple[Chunk, ...]) -> Exchange:
        # in shadow mode, sources are recorded and not sent
        decision = "shadow" if exchange.mode is Mode.SHADOW else "retrieved"
        return self.with_sources(exchange, chunks).noted(self.name, decision, *described(chunks))


def titles_of(collections: Sequence[Collection]) -> dict[str, str]:
    """Return the names of collections in citations, by id. If two collections have the same name, the id follows the
    name.
    """
    names = Counter(collection.name for collection in collections)
    return {
        collection.id: collection.name if names[collection.name] == 1 else f"{collection.name} ({collection.id})"
        for collection in collections
    }


def described(chunks: Sequence[Chunk]) -> tuple[str, dict[str, Any]]:
    """Return the reason and the data for a note about retrieved chunks."""
    collections = ", ".join(sorted({chunk.collection for chunk in chunks}))
    data = {"tokens": sum(chunk.tokens for chunk in chunks), "citations": citations(chunks)}
    return f"{len(chunks)} {'chunk' if len(chunks) == 1 else 'chunks'} of {collections}", data


def ahead_of_the_user(turns: Sequence[Turn], sources: str) -> tuple[Turn, ...]:
    """Return the prompt with the sources in the last user turn. If that turn is not plain text, a new turn before it
    has the sources.
    """
    place = max(place for place, turn in enumerate(turns) if turn.role == "user")
    last = turns[place]
    if last.plain:
        return (*turns[:place], _below(f"{sources}\n\n", last), *turns[place + 1 :])
    return (*turns[:place], Turn("user", sources), *turns[place:])


def _below(text: str, turn: Turn) -> Turn:
    """Put a text before the turn's own. The client's message keeps its other fields."""
    own, offset = (turn.source, 0) if turn.source >= 0 else (turn.around, turn.offset)
    return Turn("user", text + turn.text, around=own, offset=len(text) + offset if own >= 0 else 0)


def _named(collections: Collections, name: str, key: ClientKey) -> Collection:
    """Find the collection that a request names. Raises `KeyNotAllowed` or `NotFound`; neither names a collection of
    another key.
    """
    collection = collections.find(name, key)
    if collection is not None:
        return collection
    if key.collections and name not in key.collections:
        raise _refused(KeyNotAllowed, f"This key may not read the collection {name!r}.", "collection_not_allowed")
    known = [collection.name for collection in collections.readable(key)]
    more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
    listed = f"Known: {', '.join(known[:LISTED])}{more}."
    if not known:
        listed = "There are none yet: add one with `foreword collections add`."
    raise _refused(NotFound, f"There is no collection {name!r}. {listed}", "collection_not_found")


def _refused(kind: type[RequestError], message: str, code: str) -> RequestError:
    return kind(message, param="foreword.collections", code=code)
