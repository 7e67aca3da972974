"""Serves `/v1/batches` for batches that the gateway executes. A key without `admin` can see only its own batches."""

import asyncio

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from gateway.ask import ClientKey
from gateway.errors import BadRequest, LimitReached, NotFound
from gateway.server.batches.store import BatchStore, StoredBatch
from gateway.server.handlers import AnyRequest, Caller, PathText, Shared, json_bytes, json_of
from gateway.server.pages import page
from gateway.server.stores.files import file_of
from gateway.wire import batches as wire
from gateway.wire.stores.files import listed

Batches = NamedDependency[SkipValidation[BatchStore]]
PURPOSE = "batch"


@post("/v1/batches", status_code=200, summary="Execute the requests in a file", tags=["OpenAI"])
async def create_batch(request: AnyRequest, gateway: Shared, key: Caller, batches: Batches) -> Response[bytes]:
    """The file has one request a line, and was uploaded with the purpose `batch`."""
    made = wire.new_batch(await request.body())
    file = await file_of(gateway, key, made.input_file_id)
    if file.purpose != PURPOSE or file.owner != key.name:
        raise BadRequest("'input_file_id' must be a file of this key with the purpose 'batch'.", param="input_file_id")
    most = gateway.settings.batches.max_waiting
    given = (key.name, made.endpoint, made.input_file_id, made.metadata or {}, most)
    id = await asyncio.to_thread(batches.create, *given)
    if not id:
        raise LimitReached(f"This key has {most} unfinished batches, which is the limit.", retry_after_s=60.0)
    return json_of(wire.batch(await _own(batches, key, id)))


@get("/v1/batches", summary="The batches of this key", tags=["OpenAI"])
async def list_batches(request: AnyRequest, key: Caller, batches: Batches) -> Response[bytes]:
    """The parameters `limit` and `after` work as in OpenAI's API."""
    own = await asyncio.to_thread(lambda: batches.all(key.name, everyone=key.admin))
    shown, more = page(request, own, lambda batch: batch.id)
    return json_bytes(listed([wire.batch(batch) for batch in shown], more))


@get("/v1/batches/{id:str}", summary="A batch", tags=["OpenAI"])
async def get_batch(key: Caller, id: PathText, batches: Batches) -> Response[bytes]:
    """Answers 404 if the key may not see the batch."""
    return json_of(wire.batch(await _own(batches, key, id)))


@post("/v1/batches/{id:str}/cancel", status_code=200, summary="Cancel a batch", tags=["OpenAI"])
async def cancel_batch(key: Caller, id: PathText, batches: Batches) -> Response[bytes]:
    """Lines that are being executed end first. The results so far are kept."""
    batch = await _own(batches, key, id)
    if batch.is_over:
        raise BadRequest(f"The batch is {batch.status}, so it cannot be cancelled.", param="id")
    await asyncio.to_thread(batches.cancel, id)
    return json_of(wire.batch(await _own(batches, key, id)))


async def _own(batches: BatchStore, key: ClientKey, id: str) -> StoredBatch:
    batch = await asyncio.to_thread(batches.get, id)
    if batch is None or (batch.owner != key.name and not key.admin):
        raise NotFound(f"No batch found with id '{id[:100]}'.", param="id")
    return batch


HANDLERS = (create_batch, list_batches, get_batch, cancel_batch)
