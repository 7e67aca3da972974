"""Lists the input of a stored response, and builds a request that continues the response."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from gateway.ask import Ask, Turn
from gateway.wire.responses import request as responses
from gateway.wire.responses.request import as_items
from gateway.wire.responses.search import without_results

PAGE = 20
LONGEST_PAGE = 100
_object = msgspec.json.Decoder(dict[str, Raw])
_fields = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode


class _StoredResponse(Struct):
    output: list[Raw] = []


_response = msgspec.json.Decoder(_StoredResponse)


class Lost(ValueError):
    """Raised if a part of the input was not stored."""


def input_of(raw: bytes, turns: Sequence[Turn]) -> list[Raw]:
    """Return the input items of an earlier request, without its instructions. Raises `Lost` if a part was not stored.

    `raw` is empty if the body was too long to be stored. In this case, only the plain text of `turns` is known.
    """
    if not raw:
        if not all(turn.plain for turn in turns):
            raise Lost("its input was too long to be stored whole, and is not only text")
        return [Raw(_encode({"role": turn.role, "content": turn.text})) for turn in turns]
    fields = _object.decode(raw)
    responses.put_turns(fields, turns)
    return as_items(fields["input"])


def carried_on(ask: Ask, earlier: Sequence[Raw], response: bytes) -> Ask:
    """Insert the items of an earlier request and the output items of its `response` before the items of this
    request."""
    fields = _object.decode(ask.raw)
    del fields["previous_response_id"]
    own = as_items(fields["input"]) if "input" in fields else []
    answered = [without_results(raw) for raw in _response.decode(response).output]
    fields["input"] = Raw(_encode([*earlier, *answered, *own]))
    whole = responses.ask(_encode(fields), {})
    return replace(whole, controls=ask.controls, previous=ask.previous)


def listed(
    items: Sequence[Raw], suffix: str, *, after: str = "", limit: int = PAGE, newest_first: bool = True
) -> bytes:
    """Encode a page of items as OpenAI's list. An item without an id gets an id that contains `suffix` and the item's
    position."""
    full = [_listed(_fields.decode(raw), f"{suffix}_in_{place}") for place, raw in enumerate(items)]
    if newest_first:
        full.reverse()
    ids = [item["id"] for item in full]
    begin = ids.index(after) + 1 if after in ids else 0
    page = full[begin : begin + limit]
    ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
    return _encode({"object": "list", "data": page, **ends, "has_more": begin + limit < len(full)})


def _listed(item: dict[str, Any], suffix: str) -> dict[str, Any]:
    kind = item.get("type", "message")
    if kind != "message":
        return {"id": f"item_{suffix}", **item}
    content = item.get("content")
    if isinstance(content, str):
        part = "output_text" if item.get("role") == "assistant" else "input_text"
        content = [{"type": part, "text": content}]
    return {"id": f"msg_{suffix}", "type": kind, "status": "completed", **item, "content": content}
