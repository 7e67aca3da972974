"""The OpenAPI document: Litestar's for its own handlers, and the hot routes beside them."""

from typing import Any

import msgspec
from litestar import Litestar, Response, get
from litestar.openapi.config import OpenAPIConfig

from gateway.exchange import Endpoint
from gateway.wire.decode import ChatBody, CompletionBody, EmbeddingBody
from gateway.wire.responses import ResponsesBody

CONFIG = OpenAPIConfig(
    title="Foreword",
    version="0.1.0",
    description="A prompt and context gateway. What is not described here passes through unchanged.",
    path="/openapi",
    render_plugins=[],
)
ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
HOT = {
    Endpoint.CHAT: (ChatBody, "A chat completion, plain or streamed"),
    Endpoint.COMPLETION: (CompletionBody, "A legacy completion, plain or streamed"),
    Endpoint.EMBEDDING: (EmbeddingBody, "Embeddings"),
    Endpoint.RESPONSES: (ResponsesBody, "A response, plain or streamed"),
}


@get("/openapi.json", include_in_schema=False, sync_to_thread=False, opt={"open": True})
def document(request: Any) -> Response[dict[str, Any]]:
    """OpenAPI 3.1 for every route."""
    return Response(complete(request.app))


def complete(app: Litestar) -> dict[str, Any]:
    """Litestar's document with the hot routes added."""
    schema: dict[str, Any] = app.openapi_schema.to_schema()
    bodies, components = msgspec.json.schema_components(
        [body for body, _ in HOT.values()], ref_template="#/components/schemas/{name}"
    )
    schema.setdefault("components", {}).setdefault("schemas", {}).update(components | {"Error": ERROR})
    for (endpoint, (_, summary)), body in zip(HOT.items(), bodies, strict=True):
        schema["paths"].setdefault(f"/v1/{endpoint}", {})["post"] = _operation(endpoint, summary, body)
    return schema


def _operation(endpoint: Endpoint, summary: str, body: dict[str, Any]) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {
        "summary": summary,
        "operationId": endpoint.name.lower(),
        "tags": ["OpenAI"],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {
                "description": "The backend's answer, with `x-foreword-*` headers",
                "content": {"application/json": {}, "text/event-stream": {}},
            },
            "4XX": {"description": "The request is refused", "content": error},
            "5XX": {"description": "No backend answered", "content": error},
        },
    }
