"""Attaches files to a vector store, singly or in batches. The files are ingested in the background."""

import asyncio
import json
from typing import Any

from litestar import Response, delete, get, post

from gateway.assembly.gateway import Gateway
from gateway.context.ingest.attachments import COMPLETED, STATES, Attachment, FileBatch
from gateway.context.store.catalog import Collection
from gateway.errors import BadRequest, NotFound
from gateway.server.handlers import AnyRequest, Caller, PathText, Shared, intake_of, json_bytes
from gateway.server.pages import page
from gateway.server.stores.access import attachments_of, changeable, files_of, store_of
from gateway.wire.stores import files as wire_files
from gateway.wire.stores import vector_stores as wire

FILES = "/v1/vector_stores/{id:str}/files"
BATCHES = "/v1/vector_stores/{id:str}/file_batches"


@post(FILES, status_code=200, summary="Attach a file", tags=["OpenAI"])
async def attach_file(request: AnyRequest, gateway: Shared, key: Caller, id: PathText) -> Response[bytes]:
    """The file is read, cut, embedded and stored in the background; `status` shows the progress."""
    store = await changeable(gateway, key, id)
    given = wire.new_file(await request.body())
    files = await files_of(gateway, key, {given.file_id: "file_id"})
    intake = intake_of(gateway)
    await asyncio.to_thread(intake.attachments.attach, attachments_of(store.id, files, [given]))
    intake.wake()
    return await _file_shown(gateway, store, given.file_id)


@get(FILES, summary="The files of a vector store", tags=["OpenAI"])
async def list_store_files(request: AnyRequest, gateway: Shared, key: Caller, id: PathText) -> Response[bytes]:
    """`filter` selects files by their status. The parameters `limit`, `after`, `before` and `order` work as in OpenAI's
    API."""
    await store_of(gateway, key, id)
    return await _listed(request, gateway, id)


@get(FILES + "/{file:str}", summary="A file of a vector store", tags=["OpenAI"])
async def get_store_file(gateway: Shared, key: Caller, id: PathText, file: PathText) -> Response[bytes]:
    """The file's status, with the error if it failed."""
    return await _file_shown(gateway, await store_of(gateway, key, id), file)


@post(FILES + "/{file:str}", status_code=200, summary="Change a file's attributes", tags=["OpenAI"])
async def change_store_file(
    request: AnyRequest, gateway: Shared, key: Caller, id: PathText, file: PathText
) -> Response[bytes]:
    """Replaces the attributes. Filters use the new attributes immediately."""
    store = await changeable(gateway, key, id)
    await _attachment(gateway, store, file)
    given = wire.changed_file(await request.body())
    intake = intake_of(gateway)
    await asyncio.to_thread(intake.attachments.set_attributes, id, file, given.attributes or {})
    await asyncio.to_thread(intake.collections.set_attributes, id, file, given.attributes or {})
    return await _file_shown(gateway, store, file)


@get(FILES + "/{file:str}/content", summary="A file's text as it was read", tags=["OpenAI"])
async def get_store_file_content(gateway: Shared, key: Caller, id: PathText, file: PathText) -> Response[bytes]:
    """The text of the file's chunks, in order."""
    await _attachment(gateway, await store_of(gateway, key, id), file)
    documents = intake_of(gateway).collections.documents(id)
    row = await asyncio.to_thread(documents.live_at, file)
    chunks = await asyncio.to_thread(documents.of, row.key) if row else []
    return json_bytes(wire.contents([chunk.text for chunk in chunks]))


@delete(FILES + "/{file:str}", status_code=200, summary="Remove a file from a vector store", tags=["OpenAI"])
async def detach_file(gateway: Shared, key: Caller, id: PathText, file: PathText) -> Response[bytes]:
    """Removes the file from this store. The uploaded file is not deleted."""
    store = await changeable(gateway, key, id)
    await _attachment(gateway, store, file)
    intake = intake_of(gateway)
    await asyncio.to_thread(intake.attachments.detach, id, file)
    await asyncio.to_thread(intake.take_out, id, file)
    return json_bytes(wire_files.deleted(file, "vector_store.file.deleted"))


@post(BATCHES, status_code=200, summary="Attach many files", tags=["OpenAI"])
async def create_batch(request: AnyRequest, gateway: Shared, key: Caller, id: PathText) -> Response[bytes]:
    """Attaches up to 2,000 files: those in `file_ids`, or those in `files`, each with its own attributes and
    chunking."""
    store = await changeable(gateway, key, id)
    given = wire.new_batch(await request.body())
    files = await files_of(gateway, key, {request.file_id: param for request, param in reversed(given)})
    intake = intake_of(gateway)
    attachments = attachments_of(store.id, files, [request for request, _ in given])
    batch = await asyncio.to_thread(intake.attachments.attach_batch, store.id, attachments)
    intake.wake()
    return await _batch_shown(gateway, batch)


@get(BATCHES + "/{batch:str}", summary="The progress of a batch", tags=["OpenAI"])
async def get_batch(gateway: Shared, key: Caller, id: PathText, batch: PathText) -> Response[bytes]:
    """How many files of the batch have each status."""
    return await _batch_shown(gateway, await _batch(gateway, await store_of(gateway, key, id), batch))


@post(BATCHES + "/{batch:str}/cancel", status_code=200, summary="Cancel a batch", tags=["OpenAI"])
async def cancel_batch(gateway: Shared, key: Caller, id: PathText, batch: PathText) -> Response[bytes]:
    """Cancels the files that are not ingested yet. Files that are already ingested stay in the store."""
    store = await changeable(gateway, key, id)
    running = await _batch(gateway, store, batch)
    await asyncio.to_thread(intake_of(gateway).attachments.cancel, running)
    return await _batch_shown(gateway, await _batch(gateway, store, batch))


@get(BATCHES + "/{batch:str}/files", summary="The files of a batch", tags=["OpenAI"])
async def list_batch_files(
    request: AnyRequest, gateway: Shared, key: Caller, id: PathText, batch: PathText
) -> Response[bytes]:
    """The parameters are the same as for the files of a store."""
    await _batch(gateway, await store_of(gateway, key, id), batch)
    return await _listed(request, gateway, id, batch)


async def _attachment(gateway: Gateway, store: Collection, file: str) -> Attachment:
    attachment = await asyncio.to_thread(intake_of(gateway).attachments.get, store.id, file)
    if attachment is None:
        raise NotFound(f"No file found with id '{file}' in vector store '{store.id}'.", param="file_id")
    return attachment


async def _file_shown(gateway: Gateway, store: Collection, file: str) -> Response[bytes]:
    return json_bytes(wire.encoded(_shown(gateway, await _attachment(gateway, store, file))))


async def _batch(gateway: Gateway, store: Collection, id: str) -> FileBatch:
    batch = await asyncio.to_thread(intake_of(gateway).attachments.batch, store.id, id)
    if batch is None:
        raise NotFound(f"No file batch found with id '{id}'.", param="batch_id")
    return batch


async def _listed(request: AnyRequest, gateway: Gateway, id: str, batch: str = "") -> Response[bytes]:
    status = request.query_params.get("filter", "")
    if status and status not in STATES:
        raise BadRequest(f"'filter' must be one of {', '.join(STATES)}.", param="filter")
    known = intake_of(gateway).attachments
    every = await asyncio.to_thread(lambda: known.of(id, batch=batch, status=status))
    attachments, more = page(request, every, lambda attachment: attachment.file)
    return json_bytes(wire_files.listed([_shown(gateway, attachment) for attachment in attachments], more))


def _shown(gateway: Gateway, attachment: Attachment) -> dict[str, Any]:
    sizes = (
        (attachment.cut.limit, attachment.cut.overlap) if attachment.cut else (gateway.settings.context.chunk_tokens, 0)
    )
    return wire.store_file(
        wire.StoreFile(
            id=attachment.file,
            collection=attachment.collection,
            status=attachment.status,
            created=attachment.created,
            bytes=attachment.bytes,
            attributes=attachment.attributes,
            sizes=sizes,
            error_code=attachment.error_code,
            error=attachment.error,
            report=json.loads(attachment.error) if attachment.status == COMPLETED and attachment.error else {},
        )
    )


async def _batch_shown(gateway: Gateway, batch: FileBatch) -> Response[bytes]:
    counts = await asyncio.to_thread(intake_of(gateway).attachments.counts, batch.collection, batch.id)
    return json_bytes(wire.batch(batch.id, batch.collection, batch.created, batch.cancelled, counts))


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
