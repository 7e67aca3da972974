"""The stage that searches the collections named in a request.

The chunks that are found go before the user's own words. They are numbered, marked as data, and limited by a token
budget. They never go into a system message.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.ask import Ask, ClientKey, Mode, Turn
from gateway.context.conversation import brings_its_text, is_on_earlier_text, is_small_talk, queries_of
from gateway.context.excerpt import excerpts
from gateway.context.fence import MarkOf, fenced, hashed_mark, language_of
from gateway.context.pack import CHUNK_TOKENS, SourceBudget, citations, pack
from gateway.context.store.catalog import Collection
from gateway.context.store.collections import Collections, SearchResult, Wish, merged
from gateway.context.window import PROMPT_TOKENS, Count, answer_room, is_kept, sizes_of, upper_bound
from gateway.errors import BadRequest, KeyNotAllowed, NotFound, NotReady, RequestError
from gateway.exchange import Chunk, Exchange
from gateway.filters import Filter
from gateway.ports import Vectors
from gateway.settings.context import Context

log = logging.getLogger("foreword.collections")

Embed = Callable[[Sequence[str]], Awaitable[Vectors]]

MOST_CHUNKS = 50
SPARE_CHUNKS = 2
"""A search returns this many times the number of chunks that are needed, since duplicates are dropped afterwards."""
FENCE_TOKENS = 160
"""The number of tokens of the instruction and the fence around the sources. It is the number for the Chinese
instruction and a tokenizer that does not know Chinese words. All other cases need fewer tokens.
"""
REQUIRED = "foreword.collections_required"
LISTED = 20
"""The number of collections that an error message lists."""
LOOKED_AT_ONCE = 2000
"""A message of at most this many characters is looked at on the event loop. Longer messages take a thread."""


class RetrievalLimits(Struct, frozen=True):
    """The limits of a request: the number of chunks, and the number of their tokens as `backend` counts tokens.

    Each query in `queries` is searched for separately. If `required` is true, the nearest chunks are used even if they
    are not relevant.
    """

    queries: tuple[str, ...]
    collections: tuple[str, ...]
    chunks: int
    budget: SourceBudget
    backend: str = ""
    filters: Filter | None = None
    required: bool = False

    @property
    def query(self) -> str:
        """The longest query, which contains the other queries."""
        return self.queries[-1]


class RetrievedChunks(Struct, frozen=True):
    """The chunks to use, and the highest relevance among the collections. `tight` is true if chunks were found, but
    none of them fits the budget.
    """

    chunks: tuple[Chunk, ...]
    relevance: float = 0.0
    tight: bool = False


class CannotRetrieve(Exception):
    """Raised if nothing is retrieved. The message is the reason. `error` is sent to a client that requires sources."""

    def __init__(self, error: RequestError) -> None:
        super().__init__(error.message)
        self.error = error


class RetrieveStage:
    """The stage `retrieve`. `embed` and `collections` are None until they are loaded. Until then, a request gets a note
    instead of sources.
    """

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
        if not controls.collections_required and (reason := await _nothing_to_look_up(exchange.ask)):
            if self.collections is not None:
                # a wrong name is an error, whatever the message says
                await asyncio.to_thread(_all_named, self.collections, controls.collections, exchange.key)
            return exchange.noted(self.name, "skipped", reason)
        try:
            return await self._retrieved(exchange)
        except CannotRetrieve as obstacle:
            if controls.collections_required:
                raise obstacle.error from None
            return exchange.noted(self.name, "skipped", str(obstacle))

    async def _retrieved(self, exchange: Exchange) -> Exchange:
        embed, collections = self._ready(exchange)
        limits = await self._limits(exchange)
        try:
            # the time limit is set here, since most requests name no collection and need none
            async with asyncio.timeout(self.settings.budget_ms / 1000):
                vectors = await embed(limits.queries)
                result = await asyncio.to_thread(self._look_up, collections, exchange.key, limits, vectors)
        except NotReady as error:
            raise CannotRetrieve(error) from error
        except TimeoutError:
            what = f"took longer than {self.settings.budget_ms} ms"
            raise CannotRetrieve(NotReady(what, retry_after_s=5.0)) from None
        except RequestError:
            raise
        except Exception as error:  # a store is a plug-in and may raise anything
            if not limits.required:
                raise  # the pipeline goes on without this stage
            log.exception("a required search failed")
            raise CannotRetrieve(
                NotReady("the search failed; the gateway's log has the reason", retry_after_s=5.0)
            ) from error
        if result.chunks:
            return self._with(exchange, result)
        if result.tight:
            raise CannotRetrieve(_unmet(f"no chunk fits into {limits.budget.tokens} tokens"))
        reason = f"the relevance is {result.relevance:.2f}, the floor {self.settings.relevance:.2f}"
        return exchange.noted(self.name, "nothing found", reason)

    def _ready(self, exchange: Exchange) -> tuple[Embed, Collections]:
        """Return the embedder and the collections. Raises `CannotRetrieve` if one of them is missing, or if the request
        cannot take sources.
        """
        if not exchange.ask.endpoint.takes_messages:
            raise CannotRetrieve(_unmet("only chat completions and responses take sources"))
        if exchange.key.mode is Mode.OFF:
            what = "with this key nothing may be added to a prompt"
            raise CannotRetrieve(KeyNotAllowed(what, param=REQUIRED))
        if self.embed is None or self.collections is None:
            reason = (
                "the collections are still loading or could not be loaded (/health/ready says which), "
                "or [embedder] or [store] is not configured"
            )
            raise CannotRetrieve(NotReady(reason, retry_after_s=2.0))
        return self.embed, self.collections

    async def _limits(self, exchange: Exchange) -> RetrievalLimits:
        """Return the limits of the request. Raises `CannotRetrieve` if there is nothing to search for, or no room for
        sources.
        """
        queries = queries_of(exchange.ask.turns, exchange.ask.query.strip())
        if not queries or not any(turn.role == "user" for turn in exchange.prompt):
            raise CannotRetrieve(_unmet("there is no user message in plain text to look up"))
        controls = exchange.ask.controls
        chunks = min(controls.top_k or self.settings.top_k, MOST_CHUNKS)
        budget = await self.budget(exchange, controls.budget_tokens or self.settings.budget_tokens, chunks)
        if budget.room <= 0:
            raise CannotRetrieve(_unmet("the model's window has no room left for sources"))
        names = tuple(dict.fromkeys(controls.collections))
        backend = exchange.route[0].backend if exchange.route else ""
        required = controls.collections_required
        return RetrievalLimits(queries, names, chunks, budget, backend, controls.filters, required)

    async def budget(self, exchange: Exchange, tokens: int, chunks: int) -> SourceBudget:
        """Return the budget for `chunks` chunks with `tokens` tokens in total. The window of the answering model limits
        the budget.
        """
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
        """Choose the chunks for the prompt. If the chunks do not all fit, their best sentences are used.

        The chunks must name their collections by id. Call this on a worker thread.
        """
        counted = self._counted(chunks, limits.backend)
        if counted and not limits.budget.holds(sum(chunk.tokens for chunk in counted), len(counted)):

            def shares(collection: str, texts: Sequence[str]) -> Sequence[float]:
                return collections.documents(collection).likeness(limits.query).shares(texts)

            counted = self._counted(excerpts(counted, limits.budget, shares), limits.backend)
        return pack(counted, limits.budget)

    def _counted(self, chunks: Sequence[Chunk], backend: str) -> list[Chunk]:
        """Return the chunks with their numbers of tokens as the backend counts them. Without a backend, the chunks stay
        as they are.
        """
        return [replace(chunk, tokens=self.count(backend, chunk.text)) for chunk in chunks] if backend else list(chunks)

    def with_sources(self, exchange: Exchange, chunks: tuple[Chunk, ...]) -> Exchange:
        """Put the chunks before the user's own words in the prompt."""
        language = exchange.intent.language or language_of(exchange.ask.query)
        turns = ahead_of_the_user(exchange.prompt, fenced(chunks, language, self.mark_of))
        return replace(exchange, turns=turns, chunks=chunks)

    def _look_up(
        self, collections: Collections, key: ClientKey, limits: RetrievalLimits, vectors: Vectors
    ) -> RetrievedChunks:
        """Search the named collections, and choose the chunks for the prompt. Call this on a worker thread."""
        named = _all_named(collections, limits.collections, key)
        wishes = [
            Wish(query, vector, limits.chunks * SPARE_CHUNKS, limits.filters)
            for query, vector in zip(limits.queries, vectors, strict=True)
        ]
        if len(wishes) > 1 and not limits.required:
            wishes = [replace(wishes[0], refers=True), replace(wishes[1], addition=wishes[0].text)]
        least = 0.0 if limits.required else self.settings.relevance
        results = [
            self._in_one(collections, collection, wish, least) for collection in named.values() for wish in wishes
        ]
        hits = merged([hit for result in results for hit in result.hits])
        titles = titles_of(list(named.values()))
        chunks = tuple(
            replace(chunk, collection=titles[chunk.collection])
            for chunk in self.packed(collections, [hit.chunk for hit in hits[: limits.chunks]], limits)
        )
        relevance = max((result.relevance for result in results), default=0.0)
        return RetrievedChunks(chunks, relevance, tight=bool(hits and not chunks))

    def _in_one(self, collections: Collections, collection: Collection, wish: Wish, least: float) -> SearchResult:
        """Search one collection, and return the hits with at least the configured score. The result has no hits if the
        relevance of the collection is below `least`.
        """
        result = collections.examine(collection, wish, least)
        collections.catalog.touch(collection)
        return SearchResult([hit for hit in result.hits if hit.score >= self.settings.floor], result.relevance)

    def _with(self, exchange: Exchange, result: RetrievedChunks) -> Exchange:
        # in shadow mode, sources are recorded and not sent, unless they are required
        hidden = exchange.mode is Mode.SHADOW and not exchange.ask.controls.collections_required
        reason, data = described(result.chunks)
        data = {**data, "relevance": round(result.relevance, 3)}
        done = self.with_sources(exchange, result.chunks)
        return done.noted(self.name, "shadow" if hidden else "retrieved", reason, data)


def titles_of(collections: Sequence[Collection]) -> dict[str, str]:
    """Return the names that citations use for the collections, by id. If two collections have the same name, the id is
    added to the name.
    """
    names = Counter(collection.name for collection in collections)
    return {
        collection.id: collection.name if names[collection.name] == 1 else f"{collection.name} ({collection.id})"
        for collection in collections
    }


def described(chunks: Sequence[Chunk]) -> tuple[str, dict[str, Any]]:
    """Return the reason and the data for a note about the retrieved chunks."""
    collections = ", ".join(sorted({chunk.collection for chunk in chunks}))
    data = {"tokens": sum(chunk.tokens for chunk in chunks), "citations": citations(chunks)}
    return f"{len(chunks)} {'chunk' if len(chunks) == 1 else 'chunks'} of {collections}", data


def ahead_of_the_user(turns: Sequence[Turn], sources: str) -> tuple[Turn, ...]:
    """Return the prompt with the sources at the beginning of the last user turn. If that turn is not plain text, the
    sources become a turn of their own before it.
    """
    place = max(place for place, turn in enumerate(turns) if turn.role == "user")
    last = turns[place]
    if last.plain:
        return (*turns[:place], _below(f"{sources}\n\n", last), *turns[place + 1 :])
    return (*turns[:place], Turn("user", sources), *turns[place:])


def _below(text: str, turn: Turn) -> Turn:
    """Put a text before the text of a turn. The other fields of the client's message stay as they are."""
    own, offset = (turn.source, 0) if turn.source >= 0 else (turn.around, turn.offset)
    return Turn("user", text + turn.text, around=own, offset=len(text) + offset if own >= 0 else 0)


async def _nothing_to_look_up(ask: Ask) -> str:
    """Return the reason why the last message needs no sources. The reason is "" if the message may need some."""
    message = ask.query.strip()
    if message and is_small_talk(message):
        return "the message is small talk"
    # 200 kB take 10 to 30 ms
    is_long = len(message) > LOOKED_AT_ONCE
    brings_text = await asyncio.to_thread(brings_its_text, message) if is_long else brings_its_text(message)
    if brings_text:
        return "the message is a task on a text that came with it"
    on_earlier_text = not is_long and is_on_earlier_text(ask.turns, message)
    return "the message is a task on a text in an earlier message" if on_earlier_text else ""


def _all_named(collections: Collections, names: Sequence[str], key: ClientKey) -> dict[str, Collection]:
    """Return the collections that a request names, by id. Raises the same errors as `_named`."""
    return {collection.id: collection for collection in (_named(collections, name, key) for name in names)}


def _named(collections: Collections, name: str, key: ClientKey) -> Collection:
    """Return the collection with this name or id. Raises `KeyNotAllowed` or `NotFound`. The messages of these errors do
    not name the collections of other keys.
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


def _unmet(what: str) -> BadRequest:
    return BadRequest(f"The request requires sources, but {what}.", param=REQUIRED, code="no_sources")


def _refused(kind: type[RequestError], message: str, code: str) -> RequestError:
    return kind(message, param="foreword.collections", code=code)
