"""The ports: Protocols for what the parts need from each other. Adapters satisfy them structurally.

An adapter is chosen by `kind = "..."` in the configuration and built through `registry.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from msgspec import Struct

from gateway.ask import Endpoint, Turn
from gateway.exchange import Call, Chunk, Exchange, Note, Sampling

if TYPE_CHECKING:  # importing numpy would cost a bare gateway 20 MB and 0.1 s at the start
    import numpy as np
    from numpy.typing import NDArray

Vectors: TypeAlias = "NDArray[np.float32]"
Headers = tuple[tuple[bytes, bytes], ...]


def is_encoded(headers: Headers) -> bool:
    """Whether a body is compressed. It can then be neither read nor changed."""
    return any(name.lower() == b"content-encoding" for name, _ in headers)


class Stage(Protocol):
    """One step of `prepare`: takes an exchange and returns a new one, without side effects."""

    @property
    def name(self) -> str: ...

    async def __call__(self, exchange: Exchange) -> Exchange: ...


class StreamEnd(Struct):
    """Whether the end mark of a stream has arrived. Set by the check of the stream, so that no one has to search
    again."""

    is_reached: bool = False


class Reply(Struct):
    """An answer as bytes: the whole `body`, or the `pieces` of a stream.

    Each piece holds whole events, byte for byte as the backend sent them. The pieces of a compressed stream may
    be cut anywhere. The owner of a stream must iterate it to its end or call `aclose`. An error after the first
    byte is raised by `pieces` as a `RequestError`. `notes` are the backend's own decisions; the list grows
    until the stream's end.
    """

    status: int
    headers: Headers
    body: bytes = b""
    pieces: AsyncIterator[bytes] | None = None
    backend: str = ""
    model: str = ""
    notes: list[Note] = []
    end: StreamEnd | None = None
    """Set before the piece with the end mark is returned. None: the end mark is not searched for."""

    async def aclose(self) -> None:
        close = getattr(self.pieces, "aclose", None)
        if close is not None:
            await close()


class ModelCard(Struct, frozen=True):
    """A model that a backend offers.

    `window_tokens` is the context that it reads well; 0: unknown, so prompts are never shortened for it.
    `longest_tokens` is the longest request if that is more, for example with stretched positions. `endpoints`
    are those of the backend itself; a model with chat can also answer responses, in translation. `logits`: the
    backend returns full distributions over the next token, which NBCE mixes. `sampling`: the decoder settings
    that a template may send.
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    window_tokens: int = 0
    logits: bool = False
    longest_tokens: int = 0
    sampling: tuple[str, ...] = ("max_tokens", "temperature", "stop")

    def answers(self, endpoint: Endpoint) -> bool:
        """Whether the model can answer that endpoint, in translation if necessary."""
        return endpoint in self.endpoints or (endpoint is Endpoint.RESPONSES and Endpoint.CHAT in self.endpoints)


class Backend(Protocol):
    """A remote server or a local engine that answers requests.

    `send` raises `BackendFailed`, `BackendTimeout` or `NotReady` before the first byte, so that the caller can
    try the next backend. A refusal by the backend (4xx) is a `Reply`, not an error.
    """

    name: str

    async def open(self) -> None:
        """Load the model or open the connection pool. May take long; the server runs meanwhile."""

    async def aclose(self) -> None: ...

    def models(self) -> Sequence[ModelCard]:
        """The models that it offers. A name may end in `*`. Available before `open`."""
        ...

    def count_tokens(self, text: str) -> int:
        """The number of tokens of `text` for this backend's models. Blocking: call it off the event loop for long
        texts."""
        ...

    async def send(self, exchange: Exchange, model: str, headers: Headers) -> Reply:
        """Send a request and return the answer. `headers` are the client's headers to forward (tracing,
        idempotency)."""
        ...


@runtime_checkable
class Manageable(Protocol):
    """A backend that stores objects: models beyond the configured ones, stored completions."""

    async def manage(self, method: str, path: str, query: str = "", body: bytes = b"") -> tuple[int, bytes]:
        """Send one of the rare requests below `/v1/`. Returns the status and the JSON body. Raises `BackendFailed`."""
        ...


class Embedder(Protocol):
    """Text to unit vectors. Blocking; `context/embedding/batcher.py` batches calls on a worker thread."""

    name: str
    dimensions: int
    window_tokens: int
    """The model ignores text after this many tokens, so chunks must be shorter."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The vectors [texts, dimensions], float32, each row of length 1."""
        ...

    def count_tokens(self, text: str) -> int: ...


class VectorStore(Protocol):
    """Stores vectors and searches them by similarity. Names, texts and access rights are in the catalog.

    `keys` are the numbers of chunks, `document` is the number of their document; the catalog never uses a
    number twice. Blocking: call it from a worker thread only.
    """

    def collections(self) -> Sequence[str]: ...

    def add(self, collection: str, document: int, keys: Sequence[int], vectors: Vectors) -> None:
        """Insert or replace by key; creates the collection. Raises `CollectionError` if the vectors do not fit it."""
        ...

    def search(
        self, collection: str, vector: Vectors, limit: int, documents: Sequence[int] | None = None
    ) -> Sequence[tuple[int, float]]:
        """The keys of the most similar vectors, best first, with their cosine similarity. `documents` limits the search
        to those documents."""
        ...

    def remove(self, collection: str, documents: Sequence[int] | None = None) -> int:
        """Delete the vectors of documents, or the whole collection. Returns the number of deleted vectors."""
        ...

    def count(self, collection: str) -> int: ...

    def mend(self, collection: str) -> None:
        """Move files that cannot be read aside, so that the collection can be filled again. An intact collection keeps
        its vectors. All other methods raise `StoreDamaged` for such files."""
        ...

    def close(self) -> None: ...


class Nearby(Protocol):
    """Searches the chunks of a collection by similarity. Blocking."""

    def search(self, collection: str, vector: Vectors, limit: int) -> Sequence[Chunk]:
        """The most similar chunks, best first. Raises `CollectionError` if there is no such collection."""
        ...


class Reranker(Protocol):
    """Scores how well texts answer a query: slower than vector similarity, and more exact. Blocking."""

    @property
    def weight(self) -> float:
        """The weight of these scores beside those of the search, from 0 to 1; 1: only these count."""
        ...

    def scores(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """One score for each text; higher is better. Raises `RequestError` if it cannot score them."""
        ...


class HotState(Protocol):
    """State that workers share between requests: counters and cool-downs. In-process or Redis."""

    async def hit(self, key: str, limit: int, window_s: float) -> float:
        """Count one event. Returns 0.0 if the count is within `limit` for this window, else the seconds to wait."""
        ...

    async def block(self, key: str, for_s: float) -> None:
        """Block `key` for some seconds."""
        ...

    async def blocked(self, key: str) -> float:
        """Seconds for which `key` is still blocked, else 0.0."""
        ...

    async def aclose(self) -> None: ...


class ExchangeOutcome(Struct, frozen=True):
    """How an exchange ended: `finished`, `failed`, or `left` (the client disconnected).

    `body` holds the reply's bytes as they were sent to the client.
    """

    ending: str
    status: int
    backend: str = ""
    model: str = ""
    content_type: str = ""
    content_encoding: str = ""
    body: bytes = b""
    error: str = ""
    first_byte_us: int = 0
    total_us: int = 0


class Answer(Struct, frozen=True):
    """The contents of a reply: the text, the reason why it ended, and its usage in tokens (-1: unknown).

    `cached_tokens` are the prompt tokens that the backend took from a cache, `reasoning_tokens` the answer
    tokens that were reasoning.
    """

    text: str = ""
    finish: str = ""
    prompt_tokens: int = -1
    completion_tokens: int = -1
    extra: dict[str, Any] = {}
    cached_tokens: int = -1
    reasoning_tokens: int = -1


class Completed(Struct, frozen=True):
    """A model's answer to one of the gateway's own calls, and the cost of the call."""

    answer: Answer
    call: Call


class Completer(Protocol):
    """Makes the gateway's own model calls: for a refiner, a judge, a template's first call."""

    async def complete(
        self,
        exchange: Exchange,
        turns: Sequence[Turn],
        *,
        purpose: str,
        model: str = "",
        sampling: Sampling = Sampling.NONE,
        schema: Mapping[str, Any] | None = None,
    ) -> Completed:
        """Send `turns` to `model`; "" is the model that will answer the exchange.

        `schema` is a JSON schema for the answer; not every backend enforces it. The caller sets the time limit.
        Raises `RequestError` if no target answers with a 200.
        """
        ...
