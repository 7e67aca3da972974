"""The stage that looks the query up in the collections a request names, and puts what it finds
ahead of the user's own words: fenced as data, numbered, within a token budget, never as system.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.context.fence import fenced, language_of, new_mark
from gateway.context.fit import PROMPT_TOKENS, Count, answer_room, is_kept, sizes_of, upper_bound
from gateway.errors import CollectionError, NotAllowed, NotFound, NotReady
from gateway.exchange import Chunk, Exchange, Key, Mode, Turn
from gateway.ports import Vectors, VectorStore
from gateway.settings import Context

Embed = Callable[[Sequence[str]], Awaitable[Vectors]]

MOST_CHUNKS = 50
SPARE_CHUNKS = 2
"""How many times as many chunks are looked up as are used: some are dropped as duplicates."""
CHUNK_TOKENS = 24
"""What a source's number, name and heading cost on top of its text."""
FENCE_TOKENS = 160
"""What the instruction and the fence cost (the Chinese one with a tokenizer that knows no Chinese)."""


class Wanted(Struct, frozen=True):
    """What a request may have: how many chunks, and how many tokens of them, as `backend` counts."""

    collections: tuple[str, ...]
    chunks: int
    tokens: int
    backend: str = ""


class Found(Struct, frozen=True):
    """The chunks to use, best first, and the best similarity of all that were looked at."""

    chunks: tuple[Chunk, ...]
    best: float


class Retrieve:
    """Needs an embedder and a store. Both may come later: until then a request is told so by a note."""

    name = "retrieve"

    def __init__(
        self,
        settings: Context,
        count: Count,
        *,
        embed: Embed | None = None,
        store: VectorStore | None = None,
        draw: Callable[[], str] = new_mark,
    ) -> None:
        self.settings = settings
        self.count = count
        self.embed = embed
        self.store = store
        self.draw = draw

    async def __call__(self, exchange: Exchange) -> Exchange:
        controls = exchange.ask.controls
        if not controls.collections:
            return exchange
        if not exchange.ask.endpoint.takes_messages:
            return exchange.noted(self.name, "skipped", "only chat completions and responses take sources")
        if exchange.key.mode is Mode.OFF:
            return exchange.noted(self.name, "skipped", "with this key nothing may be added to a prompt")
        _check_allowed(exchange.key, controls.collections)
        if self.embed is None or self.store is None:
            reason = "the collections are still loading, or [embedder] or [store] is not configured"
            return exchange.noted(self.name, "skipped", reason)
        query = exchange.ask.query.strip()
        if not query or not any(turn.role == "user" for turn in exchange.prompt):
            return exchange.noted(self.name, "skipped", "there is no user message in plain text to look up")
        wanted = await self._wanted(exchange)
        if wanted.tokens <= 0:
            return exchange.noted(self.name, "skipped", "the model's window has no room left for sources")
        try:
            # the clock runs here rather than around the stage, since most requests name no collection
            async with asyncio.timeout(self.settings.budget_ms / 1000):
                vectors = await self.embed([query])
                found = await asyncio.to_thread(self._look_up, self.store, exchange.key, wanted, vectors)
        except NotReady as error:
            return exchange.noted(self.name, "skipped", error.message)
        except TimeoutError:
            return exchange.noted(self.name, "skipped", f"took longer than {self.settings.budget_ms} ms")
        chunks = pack(found.chunks, wanted.tokens)
        if chunks:
            return self._with(exchange, chunks)
        if found.chunks:
            return exchange.noted(self.name, "skipped", f"no chunk fits into {wanted.tokens} tokens")
        return exchange.noted(
            self.name, "nothing found", f"the best similarity is {found.best:.2f}, the floor {self.settings.floor:.2f}"
        )

    async def _wanted(self, exchange: Exchange) -> Wanted:
        controls = exchange.ask.controls
        tokens = controls.budget_tokens or self.settings.budget_tokens
        chunks = min(controls.top_k or self.settings.top_k, MOST_CHUNKS)
        target = exchange.route[0] if exchange.route else None
        if target is not None and target.window_tokens:
            budget = target.window_tokens - answer_room(exchange, target) - FENCE_TOKENS
            turns = [turn for turn, stays in zip(exchange.prompt, is_kept(exchange.prompt), strict=True) if stays]
            used = upper_bound(turns)
            if used > budget - tokens:
                used = PROMPT_TOKENS + sum(await asyncio.to_thread(sizes_of, turns, target.backend, self.count))
            tokens = min(tokens, budget - used)
        return Wanted(tuple(dict.fromkeys(controls.collections)), chunks, tokens, target.backend if target else "")

    def _look_up(self, store: VectorStore, key: Key, wanted: Wanted, vectors: Vectors) -> Found:
        """Search, and count what is found as the model that answers will. On a worker thread."""
        nearest = self._search(store, key, wanted, vectors)
        chosen = distinct(above(nearest, self.settings.floor))[: wanted.chunks]
        if wanted.backend:
            chosen = [replace(chunk, tokens=self.count(wanted.backend, chunk.text)) for chunk in chosen]
        return Found(tuple(chosen), nearest[0].score if nearest else 0.0)

    def _search(self, store: VectorStore, key: Key, wanted: Wanted, vectors: Vectors) -> list[Chunk]:
        """The nearest chunks of all the collections, best first."""
        found: list[Chunk] = []
        for collection in wanted.collections:
            try:
                found += store.search(collection, vectors[0], wanted.chunks * SPARE_CHUNKS)
            except CollectionError as error:
                known = store.collections()
                if collection in known:
                    raise
                raise _not_found(collection, [name for name in known if _allows(key, name)]) from error
        return sorted(found, key=lambda chunk: -chunk.score)

    def _with(self, exchange: Exchange, chunks: tuple[Chunk, ...]) -> Exchange:
        language = exchange.intent.language or language_of(exchange.ask.query)
        turns = ahead_of_the_user(exchange.prompt, fenced(chunks, language, self.draw))
        data = {"tokens": sum(chunk.tokens for chunk in chunks), "citations": citations(chunks)}
        collections = ", ".join(sorted({chunk.collection for chunk in chunks}))
        reason = f"{len(chunks)} {'chunk' if len(chunks) == 1 else 'chunks'} of {collections}"
        return replace(exchange, turns=turns, chunks=chunks).noted(self.name, "retrieved", reason, data)


def above(chunks: Sequence[Chunk], floor: float) -> list[Chunk]:
    return [chunk for chunk in chunks if chunk.score >= floor]


def distinct(chunks: Sequence[Chunk]) -> list[Chunk]:
    """Without chunks whose words a better-scored one has already said."""
    seen: set[bytes] = set()
    kept = []
    for chunk in chunks:
        words = hashlib.sha256(" ".join(chunk.text.split()).casefold().encode("utf-8", "surrogatepass")).digest()
        if words not in seen:
            seen.add(words)
            kept.append(chunk)
    return kept


def pack(chunks: Sequence[Chunk], room: int) -> tuple[Chunk, ...]:
    """Keep the best-scored chunks that fit in `room` tokens, in document order.

    The document with the best chunk comes first.
    """
    kept = []
    for chunk in sorted(chunks, key=lambda chunk: -chunk.score):
        cost = chunk.tokens + CHUNK_TOKENS
        if cost <= room:
            kept.append(chunk)
            room -= cost
    rank: dict[tuple[str, str], int] = {}
    for chunk in kept:
        rank.setdefault((chunk.collection, chunk.source), len(rank))
    return tuple(sorted(kept, key=lambda chunk: (rank[chunk.collection, chunk.source], chunk.start)))


def citations(chunks: Sequence[Chunk]) -> list[dict[str, Any]]:
    """What the numbers in the answer stand for, as the client and the record get it."""
    return [
        {
            "n": number,
            "id": chunk.id,
            "collection": chunk.collection,
            "source": chunk.source,
            "heading": chunk.heading,
            "page": chunk.page,
            "start": chunk.start,
            "end": chunk.end,
            "score": round(chunk.score, 4),
        }
        for number, chunk in enumerate(chunks, 1)
    ]


def ahead_of_the_user(turns: Sequence[Turn], sources: str) -> tuple[Turn, ...]:
    """The prompt with the sources in the last user turn, or in one of their own ahead of it if it is not plain."""
    place = max(place for place, turn in enumerate(turns) if turn.role == "user")
    last = turns[place]
    if last.plain:
        return (*turns[:place], Turn("user", f"{sources}\n\n{last.text}"), *turns[place + 1 :])
    return (*turns[:place], Turn("user", sources), *turns[place:])


def _allows(key: Key, collection: str) -> bool:
    return not key.collections or collection in key.collections


def _check_allowed(key: Key, collections: Sequence[str]) -> None:
    for collection in collections:
        if not _allows(key, collection):
            raise NotAllowed(
                f"This key may not read the collection {collection!r}.",
                param="foreword.collections",
                code="collection_not_allowed",
            )


def _not_found(collection: str, known: Sequence[str]) -> NotFound:
    listed = f"Known: {', '.join(known)}." if known else "There are none yet: add one with `foreword collections add`."
    return NotFound(
        f"There is no collection {collection!r}. {listed}", param="foreword.collections", code="collection_not_found"
    )
