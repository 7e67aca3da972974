"""Splits lists into pages, by OpenAI's parameters `limit`, `after`, `before` and `order`."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from litestar import Request

from gateway.errors import BadRequest
from gateway.wire.json_fields import whole

Listed = TypeVar("Listed")


def page(
    request: Request[Any, Any, Any], oldest_first: Sequence[Listed], id_of: Callable[[Listed], str], most: int = 100
) -> tuple[list[Listed], bool]:
    """Return the requested page of the list, and whether more items follow. Raises `BadRequest`."""
    query = request.query_params
    rows = list(oldest_first) if _order(query) == "asc" else list(reversed(oldest_first))
    limit = _limit(query, most)
    ids = [id_of(row) for row in rows]
    if "after" in query:
        rows = rows[_place(ids, query["after"], "after") + 1 :]
    elif "before" in query:
        rows = rows[max(0, _place(ids, query["before"], "before") - limit) : _place(ids, query["before"], "before")]
    return rows[:limit], len(rows) > limit


def _order(query: Any) -> str:
    order: str = query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise BadRequest("'order' must be asc or desc.", param="order")
    return order


def _limit(query: Any, most: int) -> int:
    given = whole(query.get("limit", str(min(most, 10_000) if most > 100 else 20)))
    if given is None or not 1 <= given <= most:
        raise BadRequest(f"'limit' must be from 1 to {most}.", param="limit")
    return given


def _place(ids: Sequence[str], id: str, param: str) -> int:
    if id not in ids:
        raise BadRequest(f"This list has no entry with the id {id!r}.", param=param)
    return ids.index(id)
