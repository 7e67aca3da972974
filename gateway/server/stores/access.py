"""What the handlers of vector stores share: which stores and files a key may use, and how files get in."""

import asyncio
from collections.abc import Mapping, Sequence

from gateway.assembly import Gateway
from gateway.context.ingest.attachments import Attachment
from gateway.context.ingest.uploads import UploadedFile
from gateway.context.reading.chunk import Cut
from gateway.context.store.catalog import Collection
from gateway.context.store.collections import may_change
from gateway.errors import KeyNotAllowed, NotFound
from gateway.exchange import ClientKey
from gateway.server.handlers import intake_of
from gateway.wire.stores import vector_stores as wire


async def store_of(gateway: Gateway, key: ClientKey, id: str) -> Collection:
    """A store that this key may read. Raises `NotFound`."""
    found = await asyncio.to_thread(intake_of(gateway).collections.find, id, key)
    if found is None or found.id != id:
        raise NotFound(f"No vector store found with id '{id}'.", param="vector_store_id")
    return found


async def changeable(gateway: Gateway, key: ClientKey, id: str) -> Collection:
    """A store that this key may change. Raises `NotFound` or `KeyNotAllowed`."""
    found = await store_of(gateway, key, id)
    if not may_change(key, found):
        raise KeyNotAllowed("This vector store is the operator's; this key may read it only.", param="vector_store_id")
    return found


async def files_of(gateway: Gateway, key: ClientKey, places: Mapping[str, str]) -> Mapping[str, UploadedFile]:
    """The files by their ids. `places`: for each id, where the request names it.

    Raises `NotFound` for a file that this key may not see.
    """
    files = await asyncio.to_thread(intake_of(gateway).uploads.of_ids, list(places), key)
    for id, param in places.items():
        if id not in files:
            raise NotFound(f"No such File object: {id}", param=param)
    return files


async def attach(
    gateway: Gateway,
    store: str,
    files: Mapping[str, UploadedFile],
    requests: Sequence[wire.NewFile],
    batch: str = "",
) -> None:
    """Attach all or none to the store with this id."""
    intake = intake_of(gateway)
    attachments = [_attachment(store, files[request.file_id], request, batch) for request in requests]
    await asyncio.to_thread(intake.attachments.attach, attachments)
    intake.wake()


def _attachment(store: str, file: UploadedFile, request: wire.NewFile, batch: str) -> Attachment:
    cut = _cut(request.chunking_strategy)
    return Attachment(store, file.id, batch, attributes=request.attributes or {}, cut=cut, bytes=file.bytes)


def _cut(chunking: wire.Chunking | None) -> Cut | None:
    if chunking is None or chunking.static is None:
        return None
    return Cut(chunking.static.max_chunk_size_tokens, chunking.static.chunk_overlap_tokens, strict=True)
