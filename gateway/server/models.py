"""Serves `/v1/models`: configured names, and names that only the backends know."""

import asyncio
from typing import Any

import msgspec
from litestar import Response, delete, get
from msgspec import UNSET, Raw, Struct, UnsetType

from gateway.ask import ClientKey
from gateway.assembly.gateway import Gateway
from gateway.backends.routing.aliases import matches
from gateway.errors import BackendFailed, NotFound
from gateway.ports import Manageable
from gateway.server.handlers import AnyRequest, Caller, PathText, Shared, admin_only, json_bytes
from gateway.wire.messages.models import as_anthropic


class ModelObject(Struct):
    """OpenAI's model object."""

    id: str
    owned_by: str
    created: int = 0
    object: str = "model"


class _UpstreamModels(Struct):
    data: list[Raw] = []


class _UpstreamModel(Struct):
    id: str | UnsetType = UNSET


@get("/v1/models", summary="The models that this key may use", tags=["OpenAI"])
async def list_models(request: AnyRequest, gateway: Shared, key: Caller) -> Response[bytes]:
    """The configured names, then the models that a backend lists itself if it serves a pattern such as `gpt-*`. A
    client that sends `anthropic-version` gets the form of Anthropic's API.

    Models of a backend that does not answer are left out.
    """
    listed: dict[str, Any] = {
        name: ModelObject(name, backend) for name, backend in gateway.routes.names() if _allowed(key, name)
    }
    backends = gateway.routes.open_ended()
    theirs = await asyncio.gather(*[_theirs(gateway, backend) for backend in backends])
    for backend, models in zip(backends, theirs, strict=True):
        for name, raw in models:
            if gateway.routes.owner(name) == backend and _allowed(key, name):
                listed.setdefault(name, raw)
    body = msgspec.json.encode({"object": "list", "data": list(listed.values())})
    return _in_form(request, json_bytes(body))


@get("/v1/models/{name:path}", summary="One model", tags=["OpenAI"])
async def get_model(request: AnyRequest, gateway: Shared, key: Caller, name: PathText) -> Response[bytes]:
    """Answers 404 if the name is unknown or this key may not use it."""
    name = name.lstrip("/")
    for known, backend in gateway.routes.names():
        if known == name and _allowed(key, known):
            return _in_form(request, json_bytes(msgspec.json.encode(ModelObject(known, backend))))
    return _in_form(request, await _ask(gateway, key, "GET", name))


@delete("/v1/models/{name:path}", status_code=200, summary="Delete a fine-tuned model", tags=["OpenAI"])
async def delete_model(gateway: Shared, key: Caller, name: PathText) -> Response[bytes]:
    """Forwards the request to the model's backend. Only for admin keys."""
    admin_only(key, "delete models")
    return await _ask(gateway, key, "DELETE", name.lstrip("/"))


def _in_form(request: AnyRequest, answer: Response[bytes]) -> Response[bytes]:
    """Return the answer in the form of the client's API."""
    if "anthropic-version" not in request.headers or answer.status_code != 200:
        return answer
    return json_bytes(as_anthropic(answer.content))


async def _ask(gateway: Gateway, key: ClientKey, method: str, name: str) -> Response[bytes]:
    refuse_other_places(name)
    backend = gateway.backends.get(gateway.routes.owner(name) or "")
    if not isinstance(backend, Manageable) or not _allowed(key, name):
        raise NotFound(f"The model {name!r} does not exist.", param="model", code="model_not_found")
    status, body = await backend.manage(method, f"models/{name}")
    return json_bytes(body, status)


def refuse_other_places(path: str) -> None:
    """Raise `NotFound` for a name that would lead to another path at the backend, such as `..`."""
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise NotFound(f"{path!r} does not exist.", code="not_found")


async def _theirs(gateway: Gateway, name: str) -> list[tuple[str, Raw]]:
    backend = gateway.backends[name]
    if not isinstance(backend, Manageable):
        return []
    try:
        status, body = await backend.manage("GET", "models")
        listed = msgspec.json.decode(body, type=_UpstreamModels) if status == 200 else _UpstreamModels()
        named = [(msgspec.json.decode(raw, type=_UpstreamModel).id, raw) for raw in listed.data]
    except (BackendFailed, msgspec.DecodeError):
        return []
    return [(model, raw) for model, raw in named if isinstance(model, str)]


def _allowed(key: ClientKey, name: str) -> bool:
    return not key.models or any(matches(name, pattern) for pattern in key.models)
