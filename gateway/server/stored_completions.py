"""Reads, changes and deletes chat completions that a backend stores (`"store": true`).

All keys share the backend's account, so only a key with `admin` may see the stored completions.
"""

from litestar import Response, delete, get, post

from gateway.ask import ClientKey, Endpoint
from gateway.assembly.gateway import Gateway
from gateway.errors import NotFound
from gateway.ports import Backend, Manageable
from gateway.server.answer import wrong_method
from gateway.server.handlers import AnyRequest, Caller, PathText, Shared, admin_only, json_bytes
from gateway.server.models import refuse_other_places

ONE = "/v1/chat/completions/{id:str}"


@get("/v1/chat/completions", summary="The stored completions", tags=["OpenAI"])
async def list_stored(request: AnyRequest, gateway: Shared, key: Caller) -> Response[bytes]:
    """Forwards the request to the backend of the default model."""
    return await passed_on(request, gateway, key, "")


@get(ONE, summary="A stored completion", tags=["OpenAI"])
async def get_stored(request: AnyRequest, gateway: Shared, key: Caller, id: PathText) -> Response[bytes]:
    """Forwards the request to the backend of the default model."""
    return await passed_on(request, gateway, key, id)


@get(ONE + "/messages", summary="The messages of a stored completion", tags=["OpenAI"])
async def get_stored_messages(request: AnyRequest, gateway: Shared, key: Caller, id: PathText) -> Response[bytes]:
    """Forwards the request to the backend of the default model."""
    return await passed_on(request, gateway, key, f"{id}/messages")


@post(ONE, status_code=200, summary="Change a stored completion's metadata", tags=["OpenAI"])
async def change_stored(request: AnyRequest, gateway: Shared, key: Caller, id: PathText) -> Response[bytes]:
    """Forwards the request to the backend of the default model."""
    return await passed_on(request, gateway, key, id)


@delete(ONE, status_code=200, summary="Delete a stored completion", tags=["OpenAI"])
async def delete_stored(request: AnyRequest, gateway: Shared, key: Caller, id: PathText) -> Response[bytes]:
    """Forwards the request to the backend of the default model."""
    return await passed_on(request, gateway, key, id)


async def passed_on(request: AnyRequest, gateway: Gateway, key: ClientKey, path: str) -> Response[bytes]:
    """Forward the request to the backend of the default model. `path` is the part of the URL after
    `/v1/chat/completions/`."""
    backend = gateway.backends[gateway.routes.targets("", Endpoint.CHAT)[0].backend]
    if not path and not isinstance(backend, Manageable):
        admin_only(key, "see the objects that a backend stores")
        raise wrong_method(
            request.method, "The backend of the default model stores no completions, so GET has nothing to list."
        )
    return await ask_backend(request, key, backend, f"chat/completions/{path}".rstrip("/"))


async def ask_backend(request: AnyRequest, key: ClientKey, backend: Backend | None, place: str) -> Response[bytes]:
    """Forward the request to the path `place` below the backend's `/v1/`.

    Raises `NotFound` if the backend stores nothing.
    """
    admin_only(key, "see the objects that a backend stores")
    refuse_other_places(place)
    if not isinstance(backend, Manageable):
        raise NotFound("The backend of the default model stores nothing of this kind.")
    query = request.scope["query_string"].decode("latin-1")
    status, body = await backend.manage(request.method, place, query, await request.body())
    return json_bytes(body, status)
