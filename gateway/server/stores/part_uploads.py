"""Serves `/v1/uploads`, which takes a file in parts. A key without `admin` can see only its own uploads."""

import asyncio

from litestar import Response, post

from gateway.server.handlers import AnyRequest, Caller, PathText, Shared, intake_of, json_bytes
from gateway.server.stores.upload import receive
from gateway.wire.stores import files
from gateway.wire.stores import part_uploads as wire


@post("/v1/uploads", status_code=200, summary="Begin an upload in parts", tags=["OpenAI"])
async def create_upload(request: AnyRequest, gateway: Shared, key: Caller) -> Response[bytes]:
    """The file may be as large as `[context] max_file_mb` allows. The upload expires after an hour."""
    given = wire.new_upload(await request.body(), gateway.settings.context.max_file_mb)
    uploads = intake_of(gateway).part_uploads
    lifetime_s = given.expires_after.seconds if given.expires_after else 0
    name = files.name_of(given.filename)
    upload = await asyncio.to_thread(uploads.create, key, name, given.bytes, given.purpose, lifetime_s)
    return json_bytes(wire.upload(upload))


@post(
    "/v1/uploads/{id:str}/parts",
    status_code=200,
    summary="Add a part to an upload",
    tags=["OpenAI"],
    request_max_body_size=None,
)
async def add_part(request: AnyRequest, gateway: Shared, key: Caller, id: PathText) -> Response[bytes]:
    """The body is a form with the field `data`. Parts may arrive in any order, several at a time."""
    intake = intake_of(gateway)
    await asyncio.to_thread(intake.part_uploads.pending, id, key)
    draft = await asyncio.to_thread(intake.uploads.draft)
    try:
        await receive(request, draft, gateway.settings.context.max_file_mb * 2**20, "data")
        part = await asyncio.to_thread(intake.part_uploads.add, id, key, draft)
    finally:
        await asyncio.to_thread(draft.unlink, missing_ok=True)
    return json_bytes(wire.part(part))


@post("/v1/uploads/{id:str}/complete", status_code=200, summary="Complete an upload", tags=["OpenAI"])
async def complete_upload(request: AnyRequest, gateway: Shared, key: Caller, id: PathText) -> Response[bytes]:
    """Joins the parts in the order of `part_ids`. The answer has the new file in `file`."""
    given = wire.completion(await request.body())
    uploads = intake_of(gateway).part_uploads
    upload, file = await asyncio.to_thread(uploads.complete, id, key, given.part_ids, given.md5 or "")
    return json_bytes(wire.upload(upload, file))


@post("/v1/uploads/{id:str}/cancel", status_code=200, summary="Cancel an upload", tags=["OpenAI"])
async def cancel_upload(gateway: Shared, key: Caller, id: PathText) -> Response[bytes]:
    """Deletes the parts. A completed upload cannot be cancelled."""
    return json_bytes(wire.upload(await asyncio.to_thread(intake_of(gateway).part_uploads.cancel, id, key)))


HANDLERS = (create_upload, add_part, complete_upload, cancel_upload)
