"""Builds the OpenAPI document: Litestar's document and the routes that bypass Litestar."""

from typing import Any

import msgspec
from litestar import Litestar, Request, Response, get
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from msgspec import Struct

from gateway.ask import Endpoint
from gateway.wire.batches import BatchRequest
from gateway.wire.chat.decode import ChatBody, CompletionBody, EmbeddingBody
from gateway.wire.feedback import FeedbackBody
from gateway.wire.messages.request import MessagesBody, TokenCountBody
from gateway.wire.responses.request import ResponsesBody
from gateway.wire.stores import vector_stores

CONFIG = OpenAPIConfig(
    title="Foreword",
    version="0.1.0",
    description="A prompt and context gateway. Fields that are not described here pass through unchanged.",
    path="/openapi",
    # without an explicit plugin, Litestar serves pages that load scripts from other sites
    render_plugins=[JsonRenderPlugin()],
)
ERROR = {
    "type": "object",
    "required": ["error"],
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
MESSAGES_ERROR = {
    "type": "object",
    "required": ["type", "error"],
    "properties": {
        "type": {"const": "error"},
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
        },
        "request_id": {"type": "string"},
    },
}
ERRORS = {"Error": ERROR, "MessagesError": MESSAGES_ERROR}
OPEN_TO_ALL = ("/health/live", "/health/ready", "/metrics")
OURS: dict[str, type[Struct]] = {
    "/v1/batches": BatchRequest,
    "/v1/foreword/preview": ChatBody,
    "/v1/foreword/feedback": FeedbackBody,
    "/v1/vector_stores": vector_stores.NewStore,
    "/v1/vector_stores/{id}": vector_stores.ChangedStore,
    "/v1/vector_stores/{id}/search": vector_stores.SearchBody,
    "/v1/vector_stores/{id}/files": vector_stores.NewFile,
    "/v1/vector_stores/{id}/files/{file}": vector_stores.ChangedFile,
    "/v1/vector_stores/{id}/file_batches": vector_stores.NewBatch,
}
"""The bodies that handlers decode themselves. Litestar does not know these bodies."""
UPLOAD = {
    "type": "object",
    "required": ["file", "purpose"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "purpose": {"type": "string"},
        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
        "expires_after[seconds]": {"type": "integer"},
    },
}
HOT = {
    Endpoint.CHAT: (ChatBody, "A chat completion, plain or streamed"),
    Endpoint.COMPLETION: (CompletionBody, "A legacy completion, plain or streamed"),
    Endpoint.EMBEDDING: (EmbeddingBody, "Embeddings"),
    Endpoint.RESPONSES: (ResponsesBody, "A response, plain or streamed"),
    Endpoint.MESSAGES: (MessagesBody, "A message of Anthropic's API, plain or streamed"),
    Endpoint.TOKEN_COUNT: (TokenCountBody, "The number of tokens of a prompt"),
}


@get("/openapi.json", include_in_schema=False, sync_to_thread=False, opt={"open": True})
def document(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
    """The OpenAPI 3.1 document of all routes."""
    return Response(complete(request.app))


def complete(app: Litestar) -> dict[str, Any]:
    """Add the routes that bypass Litestar to its document, and return the document."""
    schema: dict[str, Any] = app.openapi_schema.to_schema()
    bodies, components = msgspec.json.schema_components(
        [*[body for body, _ in HOT.values()], *OURS.values()], ref_template="#/components/schemas/{name}"
    )
    for path, body in zip(OURS, bodies[len(HOT) :], strict=True):
        schema["paths"][path]["post"]["requestBody"] = _body(body)
    schema["paths"]["/v1/files"]["post"]["requestBody"] = _body(UPLOAD, "multipart/form-data")
    schema.setdefault("components", {}).setdefault("schemas", {}).update(components | ERRORS)
    for (endpoint, (_, summary)), body in zip(HOT.items(), bodies[: len(HOT)], strict=True):
        schema["paths"].setdefault(f"/v1/{endpoint}", {})["post"] = _operation(endpoint, summary, body)
    _refusals(schema)
    return schema


def _refusals(schema: dict[str, Any]) -> None:
    """Declare that the routes need a key and list the errors that they can return. Routes in `OPEN_TO_ALL` need no key
    and get no errors."""
    schema["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer"},
        "anthropic_key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    }
    schema["security"] = [{"key": []}, {"anthropic_key": []}]  # either of them
    of_anthropic = {f"/v1/{endpoint}" for endpoint in HOT if endpoint.is_anthropic}
    for path, operations in schema["paths"].items():
        refusals = _responses("MessagesError" if path in of_anthropic else "Error")
        for operation in operations.values():
            if path in OPEN_TO_ALL:
                operation["security"] = []
                continue
            responses = {status: response for status, response in operation["responses"].items() if status < "4"}
            operation["responses"] = responses | refusals


def _responses(error: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{error}"}}}
    return {
        "4XX": {"description": "The request is refused", "content": content},
        "5XX": {"description": "No backend answered, or a part of the gateway is not ready", "content": content},
    }


def _body(schema: dict[str, Any], media_type: str = "application/json") -> dict[str, Any]:
    return {"required": True, "content": {media_type: {"schema": schema}}}


def _operation(endpoint: Endpoint, summary: str, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "summary": summary,
        "operationId": endpoint.name.lower(),
        "tags": ["Anthropic" if endpoint.is_anthropic else "OpenAI"],
        "requestBody": _body(body),
        "responses": {
            "200": {
                "description": "The backend's answer, with `x-foreword-*` headers",
                "content": {"application/json": {}, "text/event-stream": {}},
            },
        },
    }
