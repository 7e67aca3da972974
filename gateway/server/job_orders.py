"""Endpoints that order offline jobs. A process of its own (`foreword jobs work`) carries the orders out."""

import asyncio
import sqlite3
from typing import Annotated, Any

import msgspec
from litestar import Response, get, post
from msgspec import Meta, Struct

from gateway.errors import BadRequest, RequestError
from gateway.server.handlers import AnyRequest, Caller, Shared, admin_only, json_of
from gateway.state.job_orders import JobOrders


class NewOrder(Struct, forbid_unknown_fields=True):
    """The body of an order: the kind of job, and its options by name."""

    kind: Annotated[str, Meta(pattern=r"^[a-z][a-z-]{0,40}$(?!\n)")]
    words: dict[Annotated[str, Meta(max_length=60)], str | int | float | bool | list[Any]] = {}


class OrdersUnavailable(RequestError):
    """The ledger cannot be written or read."""

    status = 503


_order = msgspec.json.Decoder(NewOrder)


@get("/v1/foreword/jobs", summary="The orders for offline jobs", tags=["Foreword"])
async def list_orders(gateway: Shared, key: Caller) -> Response[bytes]:
    """The newest hundred orders, with their states and reasons. Only for admin keys."""
    admin_only(key, "see jobs")
    orders = JobOrders(gateway.settings.data_folder)
    try:
        return json_of({"data": await asyncio.to_thread(orders.newest)})
    except (OSError, sqlite3.Error) as error:
        raise OrdersUnavailable(f"the ledger cannot be read: {error}") from error


@post("/v1/foreword/jobs", status_code=202, summary="Order an offline job", tags=["Foreword"])
async def order_job(request: AnyRequest, gateway: Shared, key: Caller) -> Response[bytes]:
    """The body is `{"kind": "optimise", "words": {"prompt": "ticket-triage"}}`. The order waits until `foreword jobs
    work` carries it out, within the budget of `[jobs]`. Only for admin keys."""
    admin_only(key, "order jobs")
    try:
        new = _order.decode(await request.body())
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRequest(f"The body is not a valid order: {error}") from error
    orders = JobOrders(gateway.settings.data_folder)
    try:
        order = await asyncio.to_thread(orders.add, new.kind, new.words, key.name)
    except (OSError, sqlite3.Error) as error:
        raise OrdersUnavailable(f"the ledger cannot be written: {error}") from error
    return json_of(order, 202)


HANDLERS = (list_orders, order_job)
