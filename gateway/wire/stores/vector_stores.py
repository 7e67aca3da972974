"""Decodes the bodies of `/v1/vector_stores`, and builds OpenAI's objects from plain values.

Unknown fields are refused, as in OpenAI's API, because only the gateway reads these bodies.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.errors import BadRequest
from gateway.filters import Filter
from gateway.wire.json_fields import decoded, missing
from gateway.wire.stores.filters import filter_of
from gateway.wire.stores.ranking import Ranking, shown_score
from gateway.wire.stores.ranking import checked as checked_ranking

MOST_FILES = 2000
_encode = msgspec.json.Encoder().encode

Text = Annotated[str, Meta(max_length=512)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Metadata = Annotated[dict[Name, Text], Meta(max_length=16)]
Attributes = Annotated[dict[Name, Text | int | float | bool], Meta(max_length=16)]


class ExpiresAfter(Struct, forbid_unknown_fields=True):
    anchor: Literal["last_active_at"]
    days: Annotated[int, Meta(ge=1, le=365)]


class StaticSizes(Struct, forbid_unknown_fields=True):
    max_chunk_size_tokens: Annotated[int, Meta(ge=100, le=4096)]
    chunk_overlap_tokens: Annotated[int, Meta(ge=0)]


class Chunking(Struct, forbid_unknown_fields=True):
    """The sizes of chunks. The type `auto` selects the configured sizes."""

    type: Literal["auto", "static"]
    static: StaticSizes | None = None


class NewStore(Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=256)] | None = None
    description: str | None = None
    """This field is accepted but not stored. OpenAI does not return the field either."""
    file_ids: Annotated[list[str], Meta(max_length=500)] = []
    expires_after: ExpiresAfter | None = None
    chunking_strategy: Chunking | None = None
    metadata: Metadata | None = None


class ChangedStore(Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=256)] | UnsetType | None = UNSET
    expires_after: ExpiresAfter | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET


class NewFile(Struct, forbid_unknown_fields=True):
    file_id: str
    attributes: Attributes | None = None
    chunking_strategy: Chunking | None = None


class ChangedFile(Struct, forbid_unknown_fields=True):
    attributes: Attributes | None


class NewBatch(Struct, forbid_unknown_fields=True):
    file_ids: Annotated[list[str], Meta(max_length=MOST_FILES)] | None = None
    files: Annotated[list[NewFile], Meta(max_length=MOST_FILES)] | None = None
    attributes: Attributes | None = None
    chunking_strategy: Chunking | None = None


class SearchBody(Struct, forbid_unknown_fields=True):
    query: str | list[str]
    filters: Any = None
    max_num_results: Annotated[int, Meta(ge=1, le=50)] = 10
    ranking_options: Ranking | None = None
    rewrite_query: bool = False


class StoreSearch(Struct, frozen=True):
    """A search in a store.

    `weight` is the weight of the vectors; None selects the default. If both `threshold` and `weight` are None, a query
    has no results unless the store is relevant to the query.
    """

    queries: tuple[str, ...]
    limit: int
    threshold: float | None
    rerank: bool
    weight: float | None = None
    where: Filter | None = None


_new_store = msgspec.json.Decoder(NewStore)
_changed_store = msgspec.json.Decoder(ChangedStore)
_new_file = msgspec.json.Decoder(NewFile)
_changed_file = msgspec.json.Decoder(ChangedFile)
_new_batch = msgspec.json.Decoder(NewBatch)
_search = msgspec.json.Decoder(SearchBody)


def new_store(raw: bytes) -> NewStore:
    made: NewStore = decoded(_new_store, raw or b"{}")
    checked(made.chunking_strategy)
    return made


def changed_store(raw: bytes) -> ChangedStore:
    made: ChangedStore = decoded(_changed_store, raw or b"{}")
    return made


def new_file(raw: bytes) -> NewFile:
    made: NewFile = decoded(_new_file, raw)
    checked(made.chunking_strategy)
    return made


def changed_file(raw: bytes) -> ChangedFile:
    made: ChangedFile = decoded(_changed_file, raw)
    return made


def new_batch(raw: bytes) -> list[tuple[NewFile, str]]:
    """Return one pair for each file of a batch: the file with its settings, and the name of the field that holds the
    file's id."""
    made: NewBatch = decoded(_new_batch, raw)
    checked(made.chunking_strategy)
    if (made.file_ids is None) == (made.files is None):
        raise BadRequest("Give either 'file_ids' or 'files'.", param="file_ids")
    if made.files is None:
        given = [NewFile(id, made.attributes, made.chunking_strategy) for id in made.file_ids or ()]
        named = [(file, f"file_ids[{place}]") for place, file in enumerate(given)]
    else:
        named = [(file, f"files[{place}].file_id") for place, file in enumerate(made.files)]
    if not named:
        raise BadRequest("A batch needs at least one file.", param="file_ids" if made.files is None else "files")
    for place, file in enumerate(made.files or ()):
        checked(file.chunking_strategy, f"files[{place}].chunking_strategy")
    return named


def search(raw: bytes) -> StoreSearch:
    """Decode a search. Raises `BadRequest`, which names the invalid field."""
    made: SearchBody = decoded(_search, raw)
    queries = [made.query] if isinstance(made.query, str) else made.query
    if not queries or not all(query.strip() for query in queries):
        raise BadRequest("'query' is empty.", param="query")
    ranking = checked_ranking(made.ranking_options)
    return StoreSearch(
        tuple(queries),
        made.max_num_results,
        ranking.score_threshold,
        ranking.reranks,
        ranking.weight,
        filter_of(made.filters),
    )


def checked(chunking: Chunking | None, where: str = "chunking_strategy") -> None:
    """Check the sizes of chunks. Raises `BadRequest` for sizes that OpenAI refuses."""
    if chunking is None or chunking.type == "auto":
        return
    if chunking.static is None:
        raise missing(f"{where}.static")
    if chunking.static.chunk_overlap_tokens * 2 > chunking.static.max_chunk_size_tokens:
        param = f"{where}.static.chunk_overlap_tokens"
        raise BadRequest(f"'{param}' must not exceed half of 'max_chunk_size_tokens'.", param=param)


class Store(Struct, frozen=True):
    """The values from which a vector store's object is built."""

    id: str
    name: str
    created: int
    active: int
    expires_days: int
    expires: int
    metadata: Mapping[str, str]
    counts: Mapping[str, int]
    bytes: int
    has_expired: bool = False


def store(shown: Store) -> dict[str, Any]:
    days = shown.expires_days
    status = "expired" if shown.has_expired else "in_progress" if shown.counts["in_progress"] else "completed"
    return {
        "id": shown.id,
        "object": "vector_store",
        "created_at": shown.created,
        "name": shown.name,
        "usage_bytes": shown.bytes,
        "file_counts": counts(shown.counts),
        "status": status,
        "expires_after": {"anchor": "last_active_at", "days": days} if days else None,
        "expires_at": shown.expires or None,
        "last_active_at": shown.active,
        "metadata": dict(shown.metadata),
    }


def counts(states: Mapping[str, int]) -> dict[str, int]:
    return {**states, "total": sum(states.values())}


class StoreFile(Struct, frozen=True):
    """A file in a store. `sizes` are the length and the overlap of the file's chunks.

    `report` says which parts of the file were read and which were not.
    """

    id: str
    collection: str
    status: str
    created: int
    bytes: int
    attributes: Mapping[str, str | float | bool]
    sizes: tuple[int, int]
    error_code: str = ""
    error: str = ""
    report: Mapping[str, Any] = {}


def store_file(shown: StoreFile) -> dict[str, Any]:
    limit, overlap = shown.sizes
    report = {"foreword": {"report": dict(shown.report)}} if shown.report else {}
    return {
        "id": shown.id,
        "object": "vector_store.file",
        "created_at": shown.created,
        "vector_store_id": shown.collection,
        "status": shown.status,
        "usage_bytes": shown.bytes if shown.status == "completed" else 0,
        "last_error": {"code": shown.error_code, "message": shown.error} if shown.error_code else None,
        "attributes": dict(shown.attributes),
        "chunking_strategy": {
            "type": "static",
            "static": {"max_chunk_size_tokens": limit, "chunk_overlap_tokens": overlap},
        },
        **report,
    }


def batch(id: str, collection: str, created: int, cancelled: bool, states: Mapping[str, int]) -> bytes:
    status = "cancelled" if cancelled else "in_progress" if states["in_progress"] else "completed"
    if status == "completed" and states["failed"] and not states["completed"]:
        status = "failed"
    return _encode(
        {
            "id": id,
            "object": "vector_store.files_batch",
            "created_at": created,
            "vector_store_id": collection,
            "status": status,
            "file_counts": counts(states),
        }
    )


class Result(Struct, frozen=True):
    """A chunk in a search result. `about` holds fields that OpenAI's API does not define."""

    file: str
    name: str
    score: float
    attributes: Mapping[str, str | float | bool]
    text: str
    about: Mapping[str, Any]


def results(queries: Sequence[str], matches: Sequence[Result]) -> bytes:
    """Encode a page of results. The field `foreword` of each result describes the chunk's place in its document."""
    data = [
        {
            "file_id": result.file,
            "filename": result.name,
            "score": shown_score(result.score),
            "attributes": dict(result.attributes),
            "content": [{"type": "text", "text": result.text}],
            "foreword": dict(result.about),
        }
        for result in matches
    ]
    page = {"object": "vector_store.search_results.page", "search_query": list(queries), "data": data}
    return _encode({**page, "has_more": False, "next_page": None})


def contents(texts: Sequence[str]) -> bytes:
    data = [{"type": "text", "text": text} for text in texts]
    page = {"object": "vector_store.file_content.page", "data": data, "has_more": False, "next_page": None}
    return _encode(page)


def encoded(shown: Mapping[str, Any]) -> bytes:
    return _encode(shown)
