"""Serves stored responses. The gateway's own responses come from its records, all others from the backend."""

from typing import Literal

import msgspec
from litestar import Response, delete, get, post
from litestar.params import FromQuery

from gateway.ask import ClientKey, Endpoint
from gateway.assembly.gateway import Gateway
from gateway.backends.responses import speaks
from gateway.errors import BadRequest, NotFound
from gateway.perform.previous_response import stored_response
from gateway.ports import Backend
from gateway.records.schema import ExchangeRecord
from gateway.server.handlers import AnyRequest, Caller, PathText, Shared, json_bytes
from gateway.server.stored_completions import ask_backend
from gateway.wire.responses.answer import exchange_id
from gateway.wire.responses.stored import LONGEST_PAGE, PAGE, Lost, input_of, listed

ONE = "/v1/responses/{id:str}"


@get(ONE, summary="A stored response", tags=["OpenAI"])
async def get_response(
    request: AnyRequest, gateway: Shared, key: Caller, id: PathText, stream: FromQuery[bool] = False
) -> Response[bytes]:
    """The response as it was sent. A key without `admin` can read only its own responses, and no response that a
    backend stores."""
    if not exchange_id(id):
        return await _passed_on(request, gateway, key, id)
    if stream:
        raise BadRequest("A finished response cannot be streamed again. Leave out 'stream'.", param="stream")
    _, response = await _own(gateway, key, id)
    return json_bytes(response)


@delete(ONE, status_code=200, summary="Delete a stored response", tags=["OpenAI"])
async def delete_response(request: AnyRequest, gateway: Shared, key: Caller, id: PathText) -> Response[bytes]:
    """Deletes the response's texts from the records. Figures, names and hashes stay, as under the policy `hashed`."""
    if not exchange_id(id):
        return await _passed_on(request, gateway, key, id)
    await _own(gateway, key, id)
    assert gateway.archive is not None
    await gateway.archive.erase(exchange_id(id), key)
    return json_bytes(msgspec.json.encode({"id": id, "object": "response", "deleted": True}))


@post(ONE + "/cancel", status_code=200, summary="Cancel a response in the background", tags=["OpenAI"])
async def cancel_response(request: AnyRequest, gateway: Shared, key: Caller, id: PathText) -> Response[bytes]:
    """Only a response that a backend stores can be cancelled. The gateway's own responses never run in the
    background."""
    if not exchange_id(id):
        return await _passed_on(request, gateway, key, f"{id}/cancel")
    await _own(gateway, key, id)
    raise BadRequest("Only a background response can be cancelled, and this response is finished.", param="id")


@get(ONE + "/input_items", summary="The input of a stored response", tags=["OpenAI"])
async def list_input(
    request: AnyRequest,
    gateway: Shared,
    key: Caller,
    id: PathText,
    after: FromQuery[str] = "",
    limit: FromQuery[int] = PAGE,
    order: FromQuery[Literal["asc", "desc"]] = "desc",
) -> Response[bytes]:
    """The items of the response's input. The items of `previous_response_id` or of a named prompt come first."""
    if not exchange_id(id):
        return await _passed_on(request, gateway, key, f"{id}/input_items")
    record, _ = await _own(gateway, key, id)
    try:
        items = input_of(record.raw, record.turns)
    except Lost as error:
        raise _missing(id, str(error)) from error
    suffix, limit = exchange_id(id).removeprefix("fw-"), min(max(limit, 1), LONGEST_PAGE)
    return json_bytes(listed(items, suffix, after=after, limit=limit, newest_first=order == "desc"))


HANDLERS = (get_response, delete_response, cancel_response, list_input)


async def _own(gateway: Gateway, key: ClientKey, id: str) -> tuple[ExchangeRecord, bytes]:
    try:
        return await stored_response(gateway.archive, exchange_id(id), key)
    except NotFound as error:
        raise _missing(id, error.message) from error


def _missing(id: str, why: str) -> NotFound:
    return NotFound(f"There is no response {id!r} here: {why}.", param="id")


async def _passed_on(request: AnyRequest, gateway: Gateway, key: ClientKey, path: str) -> Response[bytes]:
    return await ask_backend(request, key, _keeper(gateway), f"responses/{path}")


def _keeper(gateway: Gateway) -> Backend | None:
    """Return the backend that stores responses, or None if there is none.

    This is the backend of the default model if it serves `/v1/responses` itself. Otherwise, the first backend that
    serves this endpoint is returned.
    """
    default = gateway.routes.targets("", Endpoint.RESPONSES)[0]
    if speaks(gateway.backends[default.backend], default.model):
        return gateway.backends[default.backend]
    able = (
        backend
        for backend in gateway.backends.values()
        if any(Endpoint.RESPONSES in card.endpoints for card in backend.models())
    )
    return next(able, None)
