"""`/v1/models`: the names that a client may use."""

from typing import Annotated

from litestar import get
from litestar.params import Dependency
from msgspec import Struct

from gateway.assembly import Gateway
from gateway.backends.route import matches
from gateway.errors import NotFound
from gateway.exchange import Key

Shared = Annotated[Gateway, Dependency(skip_validation=True)]
Caller = Annotated[Key, Dependency(skip_validation=True)]


class ModelObject(Struct):
    """OpenAI's model object."""

    id: str
    owned_by: str
    created: int = 0
    object: str = "model"


class ModelList(Struct):
    data: list[ModelObject]
    object: str = "list"


@get("/v1/models", summary="The models that this key may use", tags=["OpenAI"])
async def list_models(gateway: Shared, key: Caller) -> ModelList:
    """Names under a pattern (`gpt-*`) are the backend's and are not listed."""
    return ModelList([ModelObject(name, backend) for name, backend in gateway.routes.names() if _allowed(key, name)])


@get("/v1/models/{name:path}", summary="One model", tags=["OpenAI"])
async def get_model(gateway: Shared, key: Caller, name: str) -> ModelObject:
    """404 for a name that is unknown or not this key's."""
    wanted = name.lstrip("/")
    for known, backend in gateway.routes.names():
        if known == wanted and _allowed(key, known):
            return ModelObject(known, backend)
    raise NotFound(f"The model {wanted!r} does not exist.", param="model", code="model_not_found")


def _allowed(key: Key, name: str) -> bool:
    return not key.models or any(matches(name, pattern) for pattern in key.models)
