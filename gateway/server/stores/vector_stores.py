"""Serves `/v1/vector_stores`: collections through OpenAI's API. `foreword collections` uses the same catalog.

A key can see and change its own stores. An admin key can see and change all stores. A key can also read the operator's
stores, unless its configuration forbids it.
"""

import asyncio
import json as plain_json
from functools import partial
from typing import Any

from litestar import Response, delete, get, post
from msgspec import UNSET

from gateway.context.ingest.background_ingest import BackgroundIngest
from gateway.context.pack import citations
from gateway.context.store.catalog import Collection
from gateway.context.store.collections import Hit, Wish
from gateway.errors import NotReady
from gateway.server.handlers import AnyRequest, Caller, PathText, Shared, intake_of, json_bytes
from gateway.server.pages import page
from gateway.server.stores.access import attachments_of, changeable, files_of, store_of
from gateway.wire.stores import files as wire_files
from gateway.wire.stores import vector_stores as wire

ONE = "/v1/vector_stores/{id:str}"


@post("/v1/vector_stores", status_code=200, summary="Create a vector store", tags=["OpenAI"])
async def create_store(request: AnyRequest, gateway: Shared, key: Caller) -> Response[bytes]:
    """The files in `file_ids` are ingested in the background."""
    intake = intake_of(gateway)
    given = wire.new_store(await request.body())
    places = {file: f"file_ids[{place}]" for place, file in reversed(list(enumerate(given.file_ids)))}
    files = await files_of(gateway, key, places)
    requests = [wire.NewFile(file, None, given.chunking_strategy) for file in given.file_ids]
    days = given.expires_after.days if given.expires_after else 0
    create = intake.attachments.create_store
    attachments = attachments_of("", files, requests)
    id = await asyncio.to_thread(create, key.name, given.name or "", days, given.metadata, attachments)
    intake.wake()
    return await _shown(intake, await store_of(gateway, key, id))


@get("/v1/vector_stores", summary="The vector stores that this key may read", tags=["OpenAI"])
async def list_stores(request: AnyRequest, gateway: Shared, key: Caller) -> Response[bytes]:
    """The parameters `limit`, `after`, `before` and `order` work as in OpenAI's API."""
    intake = intake_of(gateway)
    readable = await asyncio.to_thread(partial(intake.collections.readable, key, expired=True))
    stores, more = page(request, readable, lambda collection: collection.id)
    shown = await asyncio.to_thread(lambda: [wire.store(_store(intake, collection)) for collection in stores])
    return json_bytes(wire_files.listed(shown, more))


@get(ONE, summary="A vector store", tags=["OpenAI"])
async def get_store(gateway: Shared, key: Caller, id: PathText) -> Response[bytes]:
    """Answers 404 if the key may not see the store. An expired store can be seen for a month, with the status
    `expired`."""
    return await _shown(intake_of(gateway), await store_of(gateway, key, id, expired=True))


@post(ONE, status_code=200, summary="Rename a vector store, or change its expiry or metadata", tags=["OpenAI"])
async def change_store(request: AnyRequest, gateway: Shared, key: Caller, id: PathText) -> Response[bytes]:
    """Fields that are left out stay unchanged."""
    intake = intake_of(gateway)
    store = await changeable(gateway, key, id)
    given = wire.changed_store(await request.body())
    values: dict[str, Any] = {}
    if given.name is not UNSET:
        values["name"] = given.name or ""
    if given.expires_after is not UNSET:
        values["expires_days"] = given.expires_after.days if given.expires_after else 0
    if given.metadata is not UNSET:
        values["metadata"] = plain_json.dumps(given.metadata or {}, ensure_ascii=False)
    if values:
        await asyncio.to_thread(lambda: intake.collections.catalog.change(store.id, **values))
    return await _shown(intake, await store_of(gateway, key, id))


@delete(ONE, status_code=200, summary="Delete a vector store", tags=["OpenAI"])
async def delete_store(gateway: Shared, key: Caller, id: PathText) -> Response[bytes]:
    """Deletes the store. Its uploaded files are not deleted."""
    store = await changeable(gateway, key, id, expired=True)
    await asyncio.to_thread(intake_of(gateway).collections.drop, store.id)
    return json_bytes(wire_files.deleted(store.id, "vector_store.deleted"))


@post(ONE + "/search", status_code=200, summary="Search a vector store", tags=["OpenAI"])
async def search_store(request: AnyRequest, gateway: Shared, key: Caller, id: PathText) -> Response[bytes]:
    """Searches by meaning and by words. `ranking_options.hybrid_search` sets the weights of both searches. The field
    `foreword` of a result gives its position in the document."""
    intake = intake_of(gateway)
    store = await store_of(gateway, key, id)
    search = wire.search(await request.body())
    embed = gateway.loaded.embed
    if embed is None:
        raise NotReady("The embedding model is still loading.", retry_after_s=2.0)
    vectors = await embed(list(search.queries))
    wishes = [
        Wish(query, vector, search.limit, search.where, search.weight, search.rerank)
        for query, vector in zip(search.queries, vectors, strict=True)
    ]
    collections = intake.collections
    # a client that weighs the searches itself, or names a threshold, decides alone what is near enough
    chosen = search.threshold is not None or search.weight is not None
    relevance = 0.0 if chosen else gateway.settings.context.relevance
    look_up = partial(collections.look_up_all, [store], wishes, score=search.threshold or 0.0, relevance=relevance)
    hits = await asyncio.to_thread(look_up)
    return json_bytes(wire.results(search.queries, [_result(hit) for hit in hits[: search.limit]]))


def _result(hit: Hit) -> wire.Result:
    (about,) = citations([hit.chunk])
    about = {name: about[name] for name in ("id", "heading", "page", "start", "end")}
    source = hit.source
    return wire.Result(source.file, source.name, hit.score, source.attributes, hit.chunk.text, about)


async def _shown(intake: BackgroundIngest, collection: Collection) -> Response[bytes]:
    return json_bytes(wire.encoded(wire.store(await asyncio.to_thread(_store, intake, collection))))


def _store(intake: BackgroundIngest, collection: Collection) -> wire.Store:
    counts = intake.attachments.counts(collection.id)
    if not sum(counts.values()):  # the operator's stores have no attachments, so their documents are counted instead
        counts = counts | {"completed": len(intake.collections.documents(collection.id).live())}
    return wire.Store(
        id=collection.id,
        name=collection.name,
        created=collection.created,
        active=collection.active,
        expires_days=collection.expires_days,
        expires=collection.expires,
        has_expired=collection.has_expired,
        metadata=collection.metadata,
        counts=counts,
        bytes=intake.attachments.size(collection.id),
    )


HANDLERS = (create_store, list_stores, get_store, change_store, delete_store, search_store)
