"""Finds the stores and files that a key may use. All vector store handlers use these functions."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from gateway.ask import ClientKey
from gateway.assembly.gateway import Gateway
from gateway.context.ingest.attachments import Attachment
from gateway.context.ingest.uploads import UploadedFile
from gateway.context.reading.chunk import Cut
from gateway.context.store.catalog import Collection
from gateway.context.store.collections import may_change
from gateway.errors import BadRequest, KeyNotAllowed, NotFound
from gateway.server.handlers import intake_of
from gateway.wire.stores import vector_stores as wire


async def store_of(gateway: Gateway, key: ClientKey, id: str, *, expired: bool = False) -> Collection:
    """Return the store with this id. Raises `NotFound` if the key may not read the store.

    An expired store raises `BadRequest`, unless `expired` is True.
    """
    by_id = partial(intake_of(gateway).collections.by_id, id, key, expired=True)
    store = await asyncio.to_thread(by_id)
    if store is None:
        raise NotFound(f"No vector store found with id '{id}'.", param="vector_store_id")
    if store.has_expired and not expired:
        what = f"The vector store '{id}' has expired, and its documents are deleted. Create a new one."
        raise BadRequest(what, param="vector_store_id", code="vector_store_expired")
    return store


async def changeable(gateway: Gateway, key: ClientKey, id: str, *, expired: bool = False) -> Collection:
    """Return the store with this id. Raises `KeyNotAllowed` if the key may not change the store, and the errors of
    `store_of`."""
    store = await store_of(gateway, key, id, expired=expired)
    if not may_change(key, store):
        raise KeyNotAllowed(
            "This vector store belongs to the operator; this key may only read it.", param="vector_store_id"
        )
    return store


async def files_of(gateway: Gateway, key: ClientKey, places: Mapping[str, str]) -> Mapping[str, UploadedFile]:
    """Return the requested files by id. The keys of `places` are the requested ids. The values are the request fields
    that contain them.

    Raises `NotFound` for a file that the key may not see.
    """
    files = await asyncio.to_thread(intake_of(gateway).uploads.of_ids, list(places), key)
    for id, param in places.items():
        if id not in files:
            raise NotFound(f"No such File object: {id}", param=param)
    return files


def attachments_of(store: str, files: Mapping[str, UploadedFile], requests: Sequence[wire.NewFile]) -> list[Attachment]:
    """Build one `Attachment` for each requested file. `store` is the id of the store to which the files are
    attached."""
    return [_attachment(store, files[request.file_id], request) for request in requests]


def _attachment(store: str, file: UploadedFile, request: wire.NewFile) -> Attachment:
    cut = _cut(request.chunking_strategy)
    return Attachment(store, file.id, attributes=request.attributes or {}, cut=cut, bytes=file.bytes)


def _cut(chunking: wire.Chunking | None) -> Cut | None:
    if chunking is None or chunking.static is None:
        return None
    return Cut(chunking.static.max_chunk_size_tokens, chunking.static.chunk_overlap_tokens, strict=True)
