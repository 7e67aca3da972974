"""What the handlers of vector stores share: which stores and files a key may use, and how files get in."""

import asyncio
from collections.abc import Sequence

from gateway.assembly import Gateway
from gateway.context.ingest.attachments import Attachment
from gateway.context.ingest.uploads import UploadedFile
from gateway.context.reading.chunk import Cut
from gateway.context.store.catalog import Collection
from gateway.context.store.collections import may_change
from gateway.errors import KeyNotAllowed, NotFound
from gateway.exchange import ClientKey
from gateway.server.stores.files import file_of, intake_of
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


async def attach(gateway: Gateway, key: ClientKey, id: str, given: Sequence[wire.NewFile], batch: str = "") -> None:
    """Attach all or none. Raises `NotFound` for a file that this key may not see."""
    intake = intake_of(gateway)
    attachments = []
    for one in given:
        file = await wanted_file(gateway, key, one.file_id)
        cut = _cut(one.chunking_strategy)
        attachments.append(Attachment(id, file.id, batch, attributes=one.attributes or {}, cut=cut, bytes=file.bytes))
    await asyncio.to_thread(intake.attachments.attach, attachments)
    intake.wake()


async def wanted_file(gateway: Gateway, key: ClientKey, id: str, param: str = "file_id") -> UploadedFile:
    """Raises `NotFound` for a file that this key may not see. `param`: where the request names it."""
    try:
        return await file_of(gateway, key, id)
    except NotFound as error:
        raise NotFound(error.message, param=param) from None


def _cut(chunking: wire.Chunking | None) -> Cut | None:
    if chunking is None or chunking.static is None:
        return None
    return Cut(chunking.static.max_chunk_size_tokens, chunking.static.chunk_overlap_tokens, strict=True)
