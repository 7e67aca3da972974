"""Reads the tool `file_search` of a `/v1/responses` request, and shows the finished search in the response."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from msgspec.structs import replace

from gateway.errors import BadRequest
from gateway.exchange import Exchange
from gateway.file_search import FileSearch, FileSource
from gateway.wire.json_fields import decoded, parsed
from gateway.wire.stores.filters import filter_of
from gateway.wire.stores.ranking import Ranking, checked, shown_score

NAME = "file_search"
RESULTS = "file_search_call.results"
MARK = b'"file_search"'
"""Bytes in every request with this tool."""
CALL = b'"file_search_call"'


class _Tool(Struct, forbid_unknown_fields=True):
    type: str
    vector_store_ids: Annotated[list[str], Meta(min_length=1)]
    filters: Any = None
    max_num_results: Annotated[int, Meta(ge=1, le=50)] | None = None
    ranking_options: Ranking | None = None


class _Stores(Struct):
    vector_store_ids: list[str] = []


class _Typed(Struct):
    type: str = ""


class _ToolChoiceFields(Struct):
    type: str = ""
    tools: list[_Typed] = []


class _SearchedPart(Struct):
    text: str = ""


class _SearchedMessage(Struct):
    type: str = "message"
    role: str = ""
    content: str | list[_SearchedPart] | None = None


class ShownSearch(Struct, frozen=True):
    """A search in the form that the response shows.

    `results` is None unless the client requested them. `sources` are the files that the answer can cite: [1] cites the
    first file.
    """

    queries: tuple[str, ...]
    results: list[dict[str, Any]] | None = None
    sources: tuple[FileSource, ...] = ()


_raws = msgspec.json.Decoder(list[Raw])
_tool = msgspec.json.Decoder(_Tool)
_stores = msgspec.json.Decoder(_Stores)
_typed = msgspec.json.Decoder(_Typed)
_choice = msgspec.json.Decoder(str | _ToolChoiceFields | None)
_names = msgspec.json.Decoder(list[str] | None)
_message = msgspec.json.Decoder(_SearchedMessage)
_encode = msgspec.json.Encoder().encode


def search_of(
    tools: Raw | UnsetType, choice: Raw | UnsetType, include: Raw | UnsetType, given: str | Sequence[Raw] | None
) -> FileSearch | None:
    """Return the tool `file_search`, or None if the request lacks it.

    A mistake in the tool is recorded instead of raised, because the backend may do the search itself.
    """
    if tools is UNSET or MARK not in bytes(tools):
        return None
    every = _decoded(_raws, tools, [])
    matching = [(place, raw) for place, raw in enumerate(every) if _kind(raw) == NAME]
    if not matching:
        return None
    place, raw = matching[0]
    stores = [store for _, tool in matching for store in _decoded(_stores, tool, _Stores()).vector_store_ids]
    search = FileSearch(
        stores=tuple(dict.fromkeys(stores)),
        called=_is_called(_decoded(_choice, choice, "auto")),
        offered=_decoded(_choice, choice, "auto") in ("auto", None),
        shown=RESULTS in (_decoded(_names, include, []) or ()),
        query=_last_text(given),
        place=place,
    )
    try:
        if len(matching) > 1:
            where = f"tools[{matching[1][0]}]"
            raise BadRequest(f"Invalid '{where}': name all vector stores in one tool {NAME!r}.", param=where)
        return _read(raw, search)
    except BadRequest as error:
        return replace(search, fault=error.message, faulty=error.param or "", code=error.code)


def choice_after(choice: Raw | None) -> Raw | None:
    """Return the `tool_choice` that applies after the search. If the client forced the search, the model may now choose
    freely."""
    chosen = _decoded(_choice, choice or UNSET, "auto")
    if chosen == "required" or (isinstance(chosen, _ToolChoiceFields) and chosen.type == NAME):
        return None
    if isinstance(chosen, _ToolChoiceFields) and chosen.type == "allowed_tools" and _is_called(chosen):
        allowed: dict[str, Any] = msgspec.json.decode(choice or b"{}")
        others = [tool for tool in allowed["tools"] if tool.get("type") != NAME]
        return Raw(_encode({**allowed, "mode": "auto", "tools": others} if others else "none"))
    return choice


def shown(exchange: Exchange) -> ShownSearch | None:
    """Return the search in the form that the response shows, or None if there was no search."""
    searched = exchange.searched
    if searched is None or not searched.queries:
        return None
    # a later stage may have removed chunks
    pairs = list(zip(exchange.chunks, searched.sources, strict=False))
    sources = tuple([source for _, source in pairs])
    if exchange.ask.search is None or not exchange.ask.search.shown:
        return ShownSearch(searched.queries, sources=sources)
    best = sorted(pairs, key=lambda pair: -pair[0].score)
    results = [
        {
            "file_id": source.file,
            "filename": source.name,
            "score": shown_score(chunk.score),
            "attributes": dict(source.attributes),
            "text": chunk.text,
        }
        for chunk, source in best
    ]
    return ShownSearch(searched.queries, results, sources)


def without_results(item: Raw) -> Raw:
    """Remove the search results from an output item of an earlier response. The item becomes input of a later
    request."""
    if CALL not in bytes(item) or _kind(item) != "file_search_call":
        return item
    return Raw(_encode({**msgspec.json.decode(item), "results": None}))


def _read(raw: Raw, search: FileSearch) -> FileSearch:
    """Decode the tool. Raises `BadRequest`, which names the invalid field."""
    where = f"tools[{search.place}]"
    tool = decoded(_tool, raw, where)
    ranking = checked(tool.ranking_options, f"{where}.ranking_options")
    return replace(
        search,
        limit=tool.max_num_results or 0,
        threshold=ranking.score_threshold,
        filters=filter_of(tool.filters, f"{where}.filters"),
        weight=ranking.weight,
        rerank=ranking.reranks,
    )


def _is_called(choice: str | _ToolChoiceFields | None) -> bool:
    if isinstance(choice, _ToolChoiceFields):
        return choice.type == NAME or any(tool.type == NAME for tool in choice.tools)
    return choice != "none"


def _last_text(given: str | Sequence[Raw] | None) -> str:
    """Return the text of the last user message, without its other parts such as images."""
    if isinstance(given, str):
        return given
    for raw in reversed(given or ()):
        message = _decoded(_message, raw, _SearchedMessage())
        if message.type == "message" and message.role == "user":
            content = message.content or ""
            return content if isinstance(content, str) else "\n".join(part.text for part in content if part.text)
    return ""


def _kind(raw: Raw) -> str:
    return str(_decoded(_typed, raw, _Typed()).type)


def _decoded(decoder: Any, raw: Raw | UnsetType, otherwise: Any) -> Any:
    """Decode JSON. Returns `otherwise` if the JSON is missing or invalid, because other code validates the field."""
    try:
        return otherwise if raw is UNSET else parsed(decoder, raw)
    except msgspec.ValidationError:
        return otherwise
