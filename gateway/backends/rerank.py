"""Calls a reranking model over HTTP at Cohere's `/rerank`, which Jina, vLLM, TEI and others offer too.

Each search opens a new connection on its worker thread. Redirects are not followed.
"""

import ssl
from collections.abc import Iterable, Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from gateway.errors import BackendFailed, Problem
from gateway.registry import AdapterKind
from gateway.settings.numbers import Seconds, Share

MOST_BYTES = 1 << 20
"""The maximum length of an answer in bytes. An answer with thirty scores has a few thousand bytes."""


class HttpSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[reranker] kind = "http"`: a model behind `/rerank`, at Cohere, Jina, vLLM or the like."""

    url: str
    """The full URL, such as `http://127.0.0.1:8000/v1/rerank`."""
    model: str
    """The name by which the server knows the model."""
    api_key: str = ""
    """The key, sent as `Authorization: Bearer ...`. `env:NAME` stands for the value of the environment variable `NAME`.
    """
    timeout_s: Seconds = 1.0
    """The longest wait for the next byte. If the model fails, the results keep the order of the search."""
    weight: Share = 1.0
    """The share of the model's scores in the final score. The rest is the share of the search's own scores. 1: the
    search's own scores do not count.
    """


class _RerankedDocument(Struct):
    index: int
    relevance_score: float


class _RerankBody(Struct):
    results: list[_RerankedDocument]


_answer = msgspec.json.Decoder(_RerankBody)


class HttpReranker:
    """Implements `ports.Reranker`."""

    def __init__(self, settings: HttpSettings) -> None:
        self.weight = settings.weight
        self._settings = settings
        self._headers = {"content-type": "application/json", "accept": "application/json"}
        if settings.api_key:
            self._headers["authorization"] = f"Bearer {settings.api_key}"

    def scores(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """Return the model's score for each text. A text without a score gets the lowest score. Raises
        `BackendFailed`.
        """
        body = {"model": self._settings.model, "query": query, "documents": texts, "top_n": len(texts)}
        try:
            results = _answer.decode(self._post(msgspec.json.encode(body))).results
        except msgspec.DecodeError as error:
            raise BackendFailed(f"The reranker's answer cannot be read: {error}") from error
        known = {result.index: result.relevance_score for result in results}
        if not known or not known.keys() <= set(range(len(texts))):
            raise BackendFailed("The reranker's answer has no scores, or scores of texts that were not sent.")
        least = min(known.values())
        return [known.get(place, least) for place in range(len(texts))]

    def _post(self, body: bytes) -> bytes:
        connection = _connection(self._settings)
        address = urlsplit(self._settings.url)
        try:
            connection.request(
                "POST", address.path + (f"?{address.query}" if address.query else ""), body, self._headers
            )
            answer = connection.getresponse()
            body_read = answer.read(MOST_BYTES)
        except (OSError, HTTPException) as error:
            raise BackendFailed(f"The reranker cannot be reached: {type(error).__name__}.") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise BackendFailed(f"The reranker answered with status {answer.status}.")
        return body_read


def _connection(settings: HttpSettings) -> HTTPConnection:
    address = urlsplit(settings.url)
    host = address.hostname or ""
    if address.scheme == "https":
        context = ssl.create_default_context()
        return HTTPSConnection(host, address.port, timeout=settings.timeout_s, context=context)
    return HTTPConnection(host, address.port, timeout=settings.timeout_s)


def build(_name: str, settings: HttpSettings, _parts: Any) -> HttpReranker:
    return HttpReranker(settings)


def check(settings: HttpSettings, _root: Path) -> Iterable[Problem]:
    try:
        address = urlsplit(settings.url)
        right = address.scheme in ("http", "https") and bool(address.hostname) and (address.port or 1) > 0
    except ValueError:
        right = False
    if not right:
        yield Problem("url", f"{settings.url!r} is not an address", "For example https://api.cohere.com/v2/rerank.")


KIND = AdapterKind(HttpSettings, build, check)
