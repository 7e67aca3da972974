"""Serves `/v1/files`, the files that clients upload for vector stores. A key without `admin` can see only its own
files."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from litestar import Response, delete, get, post
from litestar.response import Stream

from gateway.ask import ClientKey
from gateway.assembly.gateway import Gateway
from gateway.context.ingest.uploads import UploadedFile
from gateway.errors import NotFound
from gateway.server.handlers import AnyRequest, Caller, PathText, Shared, intake_of, json_bytes
from gateway.server.pages import page
from gateway.server.stores.upload import receive
from gateway.wire.stores import files as wire

PIECE = 64 * 1024
MOST = 10_000


@post("/v1/files", status_code=200, summary="Upload a file", tags=["OpenAI"], request_max_body_size=None)
async def upload_file(request: AnyRequest, gateway: Shared, key: Caller) -> Response[bytes]:
    """The body is a form with `file` and `purpose`. The file may be as large as `[context] max_file_mb` allows."""
    uploads = intake_of(gateway).uploads
    draft = await asyncio.to_thread(uploads.draft)
    try:
        form = await receive(request, draft, gateway.settings.context.max_file_mb * 2**20)
        purpose, expires_s = wire.purpose_of(form.fields), wire.expiry_of(form.fields)
        file = await asyncio.to_thread(uploads.keep, draft, key, wire.name_of(form.filename), purpose, expires_s)
    finally:
        await asyncio.to_thread(draft.unlink, missing_ok=True)
    return json_bytes(wire.encoded(wire.file(file)))


@get("/v1/files", summary="The files of this key", tags=["OpenAI"])
async def list_files(request: AnyRequest, gateway: Shared, key: Caller) -> Response[bytes]:
    """The parameters `purpose`, `limit`, `after` and `order` work as in OpenAI's API."""
    purpose = request.query_params.get("purpose", "")
    uploads = await asyncio.to_thread(intake_of(gateway).uploads.all, key, purpose)
    files, more = page(request, uploads, lambda file: file.id, MOST)
    return json_bytes(wire.listed([wire.file(file) for file in files], more))


@get("/v1/files/{id:str}", summary="A file's description", tags=["OpenAI"])
async def get_file(gateway: Shared, key: Caller, id: PathText) -> Response[bytes]:
    """Answers 404 if the key may not see the file."""
    return json_bytes(wire.encoded(wire.file(await file_of(gateway, key, id))))


@get("/v1/files/{id:str}/content", summary="A file's bytes", tags=["OpenAI"])
async def get_file_content(gateway: Shared, key: Caller, id: PathText) -> Stream:
    """The file's bytes, as they were uploaded."""
    file = await file_of(gateway, key, id)
    path = intake_of(gateway).uploads.path(file.id)
    headers = {"content-length": str(file.bytes), "content-disposition": "attachment"}
    return Stream(_pieces(path), media_type="application/octet-stream", headers=headers)


@delete("/v1/files/{id:str}", status_code=200, summary="Delete a file", tags=["OpenAI"])
async def delete_file(gateway: Shared, key: Caller, id: PathText) -> Response[bytes]:
    """Deletes the file and removes it from every vector store."""
    file = await file_of(gateway, key, id)
    await asyncio.to_thread(intake_of(gateway).forget, file.id)
    return json_bytes(wire.deleted(file.id, "file"))


async def file_of(gateway: Gateway, key: ClientKey, id: str) -> UploadedFile:
    """Return a file that the key may see. Raises `NotFound` otherwise."""
    file = await asyncio.to_thread(intake_of(gateway).uploads.get, id, key)
    if file is None:
        raise NotFound(f"No such File object: {id}", param="id")
    return file


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece


HANDLERS = (upload_file, list_files, get_file, get_file_content, delete_file)
