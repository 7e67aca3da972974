"""The stage for the client's tool `file_search`. Before the model is called, the stage searches the gateway's vector
stores for the last message, and puts the results before the user's own words.

The client asks for the search, so the stage runs in every mode, and a failed search fails the request. If the backend
can search stores itself, a store that is unknown here may be the backend's.
"""

import asyncio
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from gateway.ask import ClientKey
from gateway.context.conversation import is_small_talk
from gateway.context.retrieve import SPARE_CHUNKS, RetrievalLimits, RetrieveStage, described
from gateway.context.store.catalog import Collection
from gateway.context.store.collections import Collections, Hit, Wish
from gateway.errors import BadRequest, NotFound, NotReady
from gateway.exchange import Chunk, Exchange, Target
from gateway.file_search import FileSearch, FileSearchResult, FileSource
from gateway.ports import Vectors

SEARCH_S = 30.0
NO_LIMIT = 10**9
"""The limit on the tokens of the results if the request limits only the number of results. In practice only the model's
window limits the tokens.
"""


class FileSearchStage:
    """The stage `search`. `collections` is None if this gateway has no stores. `hosts` tells whether a target searches
    stores itself.

    `retrieve` is the stage that searches collections. This stage uses the embedder of `retrieve`, and its code for
    fitting results into the window.
    """

    name = "search"

    def __init__(
        self, retrieve: RetrieveStage, collections: Collections | None, hosts: Callable[[Target], bool]
    ) -> None:
        self._retrieve = retrieve
        self._collections = collections
        self._hosts = hosts

    async def __call__(self, exchange: Exchange) -> Exchange:
        tool = exchange.ask.search
        if tool is None:
            return exchange
        stores = await asyncio.to_thread(self._stores, tool, exchange.key)
        if not stores and self._hosts(exchange.route[0]):
            return exchange.noted(self.name, "passed on", "this gateway has none of the vector stores")
        _check(exchange, tool, stores)
        last = _last(exchange, tool) if tool.called else ""
        queries = () if tool.offered and is_small_talk(last) else _queries(exchange, last)
        if not queries:
            reason = "the message is small talk" if last else "the user's messages have no text"
            reason = reason if tool.called else "tool_choice forbids the search"
            return replace(exchange, searched=FileSearchResult()).noted(self.name, "not called", reason)
        chunks, sources = await self._results(exchange, tool, stores, queries)
        searched = FileSearchResult(queries, sources)
        if not chunks:
            return replace(exchange, searched=searched).noted(self.name, "nothing found")
        reason, data = described(chunks)
        done = self._retrieve.with_sources(replace(exchange, searched=searched), chunks)
        return done.noted(self.name, "retrieved", reason, data)

    def _stores(self, tool: FileSearch, key: ClientKey) -> list[Collection]:
        """Return the requested stores that exist here and that the key may read."""
        if self._collections is None:
            return []
        stores = [self._collections.by_id(id, key, expired=True) for id in tool.stores]
        return [store for store in stores if store is not None]

    async def _results(
        self, exchange: Exchange, tool: FileSearch, stores: Sequence[Collection], queries: Sequence[str]
    ) -> tuple[tuple[Chunk, ...], tuple[FileSource, ...]]:
        """Return the chunks to use, in document order, and the file of each chunk."""
        retrieve, controls = self._retrieve, exchange.ask.controls
        if retrieve.embed is None:
            raise NotReady("The collections are still loading. Try again.", retry_after_s=2.0)
        most = controls.budget_tokens or (NO_LIMIT if tool.limit else retrieve.settings.budget_tokens)
        limit = tool.limit or retrieve.settings.top_k
        limits = RetrievalLimits(
            tuple(queries), (), limit, await retrieve.budget(exchange, most, limit), exchange.route[0].backend
        )
        try:
            async with asyncio.timeout(SEARCH_S):
                vectors = await retrieve.embed(queries)
                hits = await asyncio.to_thread(self._look_up, tool, stores, queries, vectors)
                chunks = await asyncio.to_thread(self._packed, hits, limits)
        except TimeoutError:
            raise NotReady(
                f"The vector stores could not be searched within {SEARCH_S:g} s.", retry_after_s=5.0
            ) from None
        files = {(hit.chunk.collection, hit.chunk.id): hit.source for hit in hits}
        return chunks, tuple([files[chunk.collection, chunk.id] for chunk in chunks])

    def _look_up(
        self, tool: FileSearch, stores: Sequence[Collection], queries: Sequence[str], vectors: Vectors
    ) -> list[Hit]:
        """Search the stores for the queries. Blocking."""
        assert self._collections is not None  # not None, since otherwise there are no stores
        limit = tool.limit or self._retrieve.settings.top_k
        wishes = [
            Wish(query, vector, limit * SPARE_CHUNKS, tool.filters, tool.weight, tool.rerank)
            for query, vector in zip(queries, vectors, strict=True)
        ]
        score = self._retrieve.settings.floor if tool.threshold is None else tool.threshold
        # the client has required the search, so the nearest passages are used even if they are not relevant
        return self._collections.look_up_all(stores, wishes, score=score)[:limit]

    def _packed(self, hits: Sequence[Hit], limits: RetrievalLimits) -> tuple[Chunk, ...]:
        """Choose the chunks that fit the limits. Blocking."""
        assert self._collections is not None  # not None, since otherwise there are no stores
        return self._retrieve.packed(self._collections, [hit.chunk for hit in hits], limits)


def _last(exchange: Exchange, tool: FileSearch) -> str:
    """Return the text of the user's last message. If the message has other parts besides text, the text is in
    `tool.query`.
    """
    questions = [turn for turn in exchange.ask.turns if turn.role == "user"]
    return (questions[-1].text if questions and questions[-1].plain else tool.query).strip()


def _queries(exchange: Exchange, last: str) -> tuple[str, ...]:
    """Return the queries of the search. The first query is the last message, and the second one joins the last two
    messages.

    A follow-up such as "And for trainees?" needs the message before it. Without an earlier message, there is no second
    query.
    """
    earlier = [turn.text.strip() for turn in exchange.ask.turns if turn.role == "user"][:-1]
    if not last:
        return ()
    return (last, f"{earlier[-1]}\n{last}") if earlier and earlier[-1] else (last,)


def _check(exchange: Exchange, tool: FileSearch, stores: Sequence[Collection]) -> None:
    """Raise `BadRequest` or `NotFound` if the request has a mistake. The error names the field."""
    where = f"tools[{tool.place}]"
    if tool.fault:
        raise BadRequest(tool.fault, param=tool.faulty or where, code=tool.code)
    known = {store.id for store in stores}
    missing = [id for id in tool.stores if id not in known]
    if missing:
        raise NotFound(f"No vector store found with id '{missing[0]}'.", param=f"{where}.vector_store_ids")
    expired = [store.id for store in stores if store.has_expired]
    if expired:
        what = f"The vector store '{expired[0]}' has expired, and its documents are deleted. Create a new one."
        raise BadRequest(what, param=f"{where}.vector_store_ids", code="vector_store_expired")
    if exchange.ask.controls.collections:
        raise BadRequest(
            "A request can use sources of the tool 'file_search' or of 'foreword.collections', not of both: "
            "their numbers would be ambiguous. Name all of them in 'vector_store_ids'.",
            param="foreword.collections",
        )
