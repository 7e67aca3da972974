"""Reranking: who has the last word, what it costs when it fails, and the two kinds that there are."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy as np
import pytest

from gateway.backends.rerank import HttpReranker, HttpSettings
from gateway.context.embedding.maxsim import MaxSim, MaxSimSettings, maxsim
from gateway.context.embedding.sentence import SentenceEmbedder
from gateway.context.store.collections import RERANKED, Hit, reranked
from gateway.context.store.fusion import reordered
from gateway.context.store.stored_documents import DocumentRow
from gateway.errors import BackendFailed
from gateway.exchange import Chunk

ROW = DocumentRow(1, "a.md", "", "", "live", {}, "")


def hits(*texts: str) -> list[Hit]:
    """The first with score 1, each other with a tenth less."""
    return [Hit(Chunk(text, "c", "a.md", text, score=1 - place / 10), ROW) for place, text in enumerate(texts)]


class ByLength:
    """To whom the longest text is the best."""

    weight = 1.0

    def scores(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        return [float(len(text)) for text in texts]


class Broken(ByLength):
    def scores(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        raise BackendFailed("no answer")


def test_the_order_is_the_rerankers_and_the_scores_stay_the_searchs() -> None:
    found = reranked(ByLength(), "q", hits("a", "aaa", "aa"))

    assert [(hit.chunk.text, hit.score) for hit in found] == [("aaa", 1.0), ("aa", 0.9), ("a", 0.8)]


def test_what_is_past_the_first_keeps_its_place() -> None:
    many = hits(*["a" * (number + 1) for number in range(RERANKED + 3)])

    found = reranked(ByLength(), "q", many)

    assert found[0].chunk.text == many[RERANKED - 1].chunk.text
    assert found[RERANKED:] == many[RERANKED:]


def test_a_reranker_that_fails_changes_nothing() -> None:
    assert reranked(Broken(), "q", hits("a", "aaa")) == hits("a", "aaa")


def test_scores_of_two_kinds_are_mixed_by_their_spread() -> None:
    search, model = [0.50, 0.49, 0.10], [-9.0, 8.0, 1.0]

    assert reordered(search, model, 0.0) == [0, 1, 2]
    assert reordered(search, model, 1.0) == [1, 2, 0]
    assert reordered(search, model, 0.5) == [1, 0, 2]
    assert reordered([1.0, 1.0], [3.0, 3.0], 0.5) == [0, 1]


def test_maxsim_takes_for_each_token_of_the_query_its_nearest() -> None:
    query = np.array([[1, 0], [0, 1]], np.float32)

    assert maxsim(query, np.array([[1, 0], [0.6, 0.8]], np.float32)) == pytest.approx((1 + 0.8) / 2)


def test_tokens_are_compared_with_the_models_own_states(minilm: SentenceEmbedder) -> None:
    states = minilm.token_states(["annual leave", "a " * 600])
    reranker = MaxSim(MaxSimSettings(), minilm)

    holiday, fish, same = reranker.scores(
        "How many days of holiday?", ["Fifteen days of paid leave.", "Cod is a fish.", "How many days of holiday?"]
    )

    assert [len(one) for one in states] == [2, minilm.window_tokens - 2]
    assert fish < holiday < same == pytest.approx(1.0, abs=1e-5)


@contextmanager
def serving(status: int, answer: bytes) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """A server that gives one answer; its address, and what it was asked."""
    asked: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            asked.append((self.headers["authorization"] or "", json.loads(body)))
            self.send_response(status)
            self.send_header("location", "http://127.0.0.1:9/")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/rerank", asked
        server.shutdown()


def test_an_http_reranker_speaks_as_cohere_does() -> None:
    best = {"index": 2, "relevance_score": 0.9, "document": {"text": "c"}}
    answer = {"id": "x", "results": [best, {"index": 0, "relevance_score": 0.2}]}
    with serving(200, json.dumps(answer).encode()) as (url, asked):
        scores = HttpReranker(HttpSettings(url, "m", api_key="secret")).scores("q", ["a", "b", "c"])

    assert scores == [0.2, 0.2, 0.9]
    assert asked == [("Bearer secret", {"model": "m", "query": "q", "documents": ["a", "b", "c"], "top_n": 3})]


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (500, b"{}"),
        (302, b""),
        (200, b"<html>"),
        (200, b'{"results": []}'),
        (200, b'{"results": [{"index": 7, "relevance_score": 1}]}'),
    ],
)
def test_what_is_no_answer_is_a_failure_and_no_redirect_is_followed(status: int, answer: bytes) -> None:
    with serving(status, answer) as (url, _), pytest.raises(BackendFailed):
        HttpReranker(HttpSettings(url, "m")).scores("q", ["a"])


def test_a_reranker_that_is_not_there_is_a_failure() -> None:
    with pytest.raises(BackendFailed, match="cannot be reached"):
        HttpReranker(HttpSettings("http://127.0.0.1:9/v1/rerank", "m")).scores("q", ["a"])
