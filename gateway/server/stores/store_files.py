"""The files of a vector store, one by one and in batches: attached at once, taken in in the background."""

import asyncio
from typing import Annotated, Any

from litestar import Request, Response, delete, get, post
from litestar.params import Dependency

from gateway.assembly import Gateway
from gateway.context.ingest.attachments import STATES, Attachment, FileBatch
from gateway.errors import BadRequest, NotFound
from gateway.exchange import ClientKey
from gateway.server.pages import page
from gateway.server.stores.access import attach, changeable, store_of, wanted_file
from gateway.server.stores.files import intake_of, json
from gateway.wire.stores import files as wire_files
from gateway.wire.stores import vector_stores as wire

Shared = Annotated[Gateway, Dependency(skip_validation=True)]
Caller = Annotated[ClientKey, Dependency(skip_validation=True)]
AnyRequest = Request[Any, Any, Any]
FILES = "/v1/vector_stores/{id:str}/files"
BATCHES = "/v1/vector_stores/{id:str}/file_batches"


@post(FILES, status_code=200, summary="Attach a file", tags=["OpenAI"])
async def attach_file(request: AnyRequest, gateway: Shared, key: Caller, id: str) -> Response[bytes]:
    """It is read, cut, embedded and stored in the background; its status says how far that is."""
    await changeable(gateway, key, id)
    given = wire.new_file(await request.body())
    await attach(gateway, key, id, [given])
    return await _file_shown(gateway, key, id, given.file_id)


@get(FILES, summary="The files of a vector store", tags=["OpenAI"])
async def list_store_files(request: AnyRequest, gateway: Shared, key: Caller, id: str) -> Response[bytes]:
    """`filter` takes a status; `limit`, `after`, `before` and `order` as at OpenAI."""
    await store_of(gateway, key, id)
    return await _listed(request, gateway, id)


@get(FILES + "/{file:str}", summary="A file of a vector store", tags=["OpenAI"])
async def get_store_file(gateway: Shared, key: Caller, id: str, file: str) -> Response[bytes]:
    """With what went wrong, if it failed."""
    return await _file_shown(gateway, key, id, file)


@post(FILES + "/{file:str}", status_code=200, summary="Change a file's attributes", tags=["OpenAI"])
async def change_store_file(request: AnyRequest, gateway: Shared, key: Caller, id: str, file: str) -> Response[bytes]:
    """They count in filters at once."""
    await changeable(gateway, key, id)
    await _attachment(gateway, key, id, file)
    given = wire.changed_file(await request.body())
    intake = intake_of(gateway)
    await asyncio.to_thread(intake.attachments.set_attributes, id, file, given.attributes or {})
    await asyncio.to_thread(intake.collections.set_attributes, id, file, given.attributes or {})
    return await _file_shown(gateway, key, id, file)


@get(FILES + "/{file:str}/content", summary="A file's text as it was read", tags=["OpenAI"])
async def get_store_file_content(gateway: Shared, key: Caller, id: str, file: str) -> Response[bytes]:
    """Its chunks, in their order."""
    await _attachment(gateway, key, id, file)
    documents = intake_of(gateway).collections.documents(id)
    row = await asyncio.to_thread(documents.live_at, file)
    chunks = await asyncio.to_thread(documents.of, row.key) if row else []
    return json(wire.contents([chunk.text for chunk in chunks]))


@delete(FILES + "/{file:str}", status_code=200, summary="Take a file out of a vector store", tags=["OpenAI"])
async def detach_file(gateway: Shared, key: Caller, id: str, file: str) -> Response[bytes]:
    """The file stays uploaded."""
    await changeable(gateway, key, id)
    await _attachment(gateway, key, id, file)
    intake = intake_of(gateway)
    await asyncio.to_thread(intake.attachments.detach, id, file)
    await asyncio.to_thread(intake.take_out, id, file)
    return json(wire_files.deleted(file, "vector_store.file.deleted"))


@post(BATCHES, status_code=200, summary="Attach many files", tags=["OpenAI"])
async def create_batch(request: AnyRequest, gateway: Shared, key: Caller, id: str) -> Response[bytes]:
    """Up to 2,000: `file_ids`, or `files` with attributes and chunking of their own."""
    await changeable(gateway, key, id)
    given = wire.new_batch(await request.body())
    for one, param in given:
        await wanted_file(gateway, key, one.file_id, param)
    batch = await asyncio.to_thread(intake_of(gateway).attachments.begin_batch, id)
    await attach(gateway, key, id, [one for one, _ in given], batch.id)
    return await _batch_shown(gateway, batch)


@get(BATCHES + "/{batch:str}", summary="How far a batch is", tags=["OpenAI"])
async def get_batch(gateway: Shared, key: Caller, id: str, batch: str) -> Response[bytes]:
    """How many of its files are in, and how many failed."""
    return await _batch_shown(gateway, await _batch(gateway, key, id, batch))


@post(BATCHES + "/{batch:str}/cancel", status_code=200, summary="Cancel a batch", tags=["OpenAI"])
async def cancel_batch(gateway: Shared, key: Caller, id: str, batch: str) -> Response[bytes]:
    """What is in stays in."""
    await changeable(gateway, key, id)
    found = await _batch(gateway, key, id, batch)
    await asyncio.to_thread(intake_of(gateway).attachments.cancel, found)
    return await _batch_shown(gateway, await _batch(gateway, key, id, batch))


@get(BATCHES + "/{batch:str}/files", summary="The files of a batch", tags=["OpenAI"])
async def list_batch_files(request: AnyRequest, gateway: Shared, key: Caller, id: str, batch: str) -> Response[bytes]:
    """As the files of a store."""
    await _batch(gateway, key, id, batch)
    return await _listed(request, gateway, id, batch)


async def _attachment(gateway: Gateway, key: ClientKey, id: str, file: str) -> Attachment:
    await store_of(gateway, key, id)
    found = await asyncio.to_thread(intake_of(gateway).attachments.get, id, file)
    if found is None:
        raise NotFound(f"No file found with id '{file}' in vector store '{id}'.", param="file_id")
    return found


async def _file_shown(gateway: Gateway, key: ClientKey, id: str, file: str) -> Response[bytes]:
    return json(wire.encoded(_shown(gateway, await _attachment(gateway, key, id, file))))


async def _batch(gateway: Gateway, key: ClientKey, id: str, batch: str) -> FileBatch:
    await store_of(gateway, key, id)
    found = await asyncio.to_thread(intake_of(gateway).attachments.batch, id, batch)
    if found is None:
        raise NotFound(f"No file batch found with id '{batch}'.", param="batch_id")
    return found


async def _listed(request: AnyRequest, gateway: Gateway, id: str, batch: str = "") -> Response[bytes]:
    status = request.query_params.get("filter", "")
    if status and status not in STATES:
        raise BadRequest(f"'filter' is one of {', '.join(STATES)}.", param="filter")
    known = intake_of(gateway).attachments
    every = await asyncio.to_thread(lambda: known.of(id, batch=batch, status=status))
    found, more = page(request, every, lambda one: one.file)
    return json(wire_files.listed([_shown(gateway, one) for one in found], more))


def _shown(gateway: Gateway, one: Attachment) -> dict[str, Any]:
    sizes = (one.cut.limit, one.cut.overlap) if one.cut else (gateway.settings.context.chunk_tokens, 0)
    return wire.store_file(
        wire.StoreFile(
            id=one.file,
            collection=one.collection,
            status=one.status,
            created=one.created,
            bytes=one.bytes,
            attributes=one.attributes,
            sizes=sizes,
            error_code=one.error_code,
            error=one.error,
        )
    )


async def _batch_shown(gateway: Gateway, batch: FileBatch) -> Response[bytes]:
    counts = await asyncio.to_thread(intake_of(gateway).attachments.counts, batch.collection, batch.id)
    return json(wire.batch(batch.id, batch.collection, batch.created, batch.cancelled, counts))


HANDLERS = (
    attach_file,
    list_store_files,
    get_store_file,
    change_store_file,
    get_store_file_content,
    detach_file,
    create_batch,
    get_batch,
    cancel_batch,
    list_batch_files,
)
