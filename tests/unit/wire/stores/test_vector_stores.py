"""Mistakes in the bodies of `/v1/vector_stores` and `/v1/files`: each is told by its place and what would be right."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import BadRequest
from gateway.wire.stores import files, vector_stores

STATIC = {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}
NEW, CHANGE, FILE, BATCH, SEARCH = (
    vector_stores.new_store,
    vector_stores.changed_store,
    vector_stores.new_file,
    vector_stores.new_batch,
    vector_stores.search,
)


def chunks(**sizes: int) -> dict[str, Any]:
    return {"type": "static", "static": {**STATIC, **sizes}}


@pytest.mark.parametrize(
    ("read", "body", "param", "words"),
    [
        (NEW, {"nmae": "x"}, "nmae", "Unknown parameter: 'nmae'. Did you mean 'name'?"),
        (NEW, {"name": "x" * 257}, "name", "length <= 256"),
        (NEW, {"expires_after": {"anchor": "created_at", "days": 1}}, "expires_after.anchor", "last_active_at"),
        (NEW, {"expires_after": {"anchor": "last_active_at"}}, "expires_after.days", "Missing required"),
        (NEW, {"metadata": {"k" * 65: "a"}}, "metadata", "a key: "),
        (NEW, {"metadata": {"k": 3}}, "metadata[...]", "got `int`"),
        (
            NEW,
            {"chunking_strategy": {"type": "semantic"}},
            "chunking_strategy.type",
            "'semantic'. Supported: auto, static",
        ),
        (NEW, {"chunking_strategy": {"type": "static"}}, "chunking_strategy.static", "Missing required"),
        (CHANGE, {"file_ids": []}, "file_ids", "Unknown parameter"),
        (
            FILE,
            {"file_id": "f", "chunking_strategy": chunks(chunk_overlap_tokens=401)},
            "chunking_strategy.static.chunk_overlap_tokens",
            "half",
        ),
        (BATCH, {}, "file_ids", "either"),
        (BATCH, {"file_ids": ["a"], "files": []}, "file_ids", "either"),
        (BATCH, {"files": []}, "files", "at least one"),
        (
            BATCH,
            {"files": [{"file_id": "a"}, {"file_id": "b", "chunking_strategy": {"type": "static"}}]},
            "files[1].chunking_strategy.static",
            "Missing",
        ),
        (
            BATCH,
            {"files": [{"file_id": "a"}, {"file_id": "b", "attributes": {"a": []}}]},
            "files[1].attributes[...]",
            "got `array`",
        ),
        (SEARCH, {"query": " "}, "query", "empty"),
        (SEARCH, {"query": "a", "max_num_results": 51}, "max_num_results", "<= 50"),
        (SEARCH, {"query": "a", "ranking_options": {"score_threshold": 2}}, "ranking_options.score_threshold", "<= 1"),
        (SEARCH, {"query": "a", "ranking_options": {"ranker": "best"}}, "ranking_options.ranker", "Supported: auto"),
        (
            SEARCH,
            {"query": "a", "ranking_options": {"hybrid_search": {"text_weight": 1}}},
            "ranking_options.hybrid_search.embedding_weight",
            "Missing",
        ),
        (SEARCH, {"query": "a", "filters": [{}]}, "filters", "an object"),
    ],
)
def test_a_mistake_is_told_by_its_place(read: Callable[[bytes], Any], body: Any, param: str, words: str) -> None:
    with pytest.raises(BadRequest) as refused:
        read(json.dumps(body).encode())

    assert refused.value.param == param
    assert words in refused.value.message


def test_the_files_of_a_batch_are_known_by_where_they_are_named() -> None:
    ids = vector_stores.new_batch(b'{"file_ids":["a","b"],"attributes":{"year":2026}}')
    full = vector_stores.new_batch(b'{"files":[{"file_id":"a"}]}')

    assert [(one.file_id, one.attributes, place) for one, place in ids] == [
        ("a", {"year": 2026}, "file_ids[0]"),
        ("b", {"year": 2026}, "file_ids[1]"),
    ]
    assert [(one.file_id, place) for one, place in full] == [("a", "files[0].file_id")]


@pytest.mark.parametrize(
    "fields",
    [
        {"expires_after[seconds]": "5000"},
        {"expires_after[anchor]": "created_at"},
        {"expires_after[anchor]": "last_active_at", "expires_after[seconds]": "5000"},
        {"expires_after[anchor]": "created_at", "expires_after[seconds]": "5"},
        {"expires_after[anchor]": "created_at", "expires_after[seconds]": "soon"},
    ],
)
def test_a_file_ends_some_time_after_it_came(fields: dict[str, str]) -> None:
    with pytest.raises(BadRequest, match="expires_after"):
        files.expiry_of(fields)


def test_an_expiry_that_is_whole_is_taken() -> None:
    assert files.expiry_of({}) == 0
    assert files.expiry_of({"expires_after[anchor]": "created_at", "expires_after[seconds]": "5000"}) == 5000
