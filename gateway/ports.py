"""The ports: Protocols between the parts of the gateway. An adapter satisfies a port without inheriting from it.

An adapter is chosen by `kind = "..."` in the configuration. `registry.py` finds the adapter's class.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from msgspec import Struct

from gateway.ask import Endpoint, Turn
from gateway.exchange import Call, Chunk, Exchange, Note, Sampling

if TYPE_CHECKING:  # importing numpy would add 20 MB and 0.1 s to the start of every gateway
    import numpy as np
    from numpy.typing import NDArray

Vectors: TypeAlias = "NDArray[np.float32]"
Headers = tuple[tuple[bytes, bytes], ...]


def is_encoded(headers: Headers) -> bool:
    """Whether the body is compressed. A compressed body can be neither read nor changed."""
    return any(name.lower() == b"content-encoding" for name, _ in headers)


class Stage(Protocol):
    """One step of `prepare`: takes an exchange and returns a new one, without side effects."""

    @property
    def name(self) -> str: ...

    async def __call__(self, exchange: Exchange) -> Exchange: ...


class StreamEnd(Struct):
    """Tells whether the end mark of a stream has arrived, and whether an error came before it. The code that checks the
    stream sets both fields before it returns the piece, and later readers of the stream use them.
    """

    is_reached: bool = False
    has_fault: bool = False


class Reply(Struct):
    """An answer as bytes: the whole `body`, or the `pieces` of a stream.

    A piece holds whole events, exactly as the backend sent them. Only in a compressed stream may a piece end within an
    event. The owner of a stream must iterate it to its end or call `aclose`. After the first byte, every error is
    raised from `pieces` as a `RequestError`. `notes` holds the backend's decisions, and grows until the stream ends.
    """

    status: int
    headers: Headers
    body: bytes = b""
    pieces: AsyncIterator[bytes] | None = None
    backend: str = ""
    model: str = ""
    notes: list[Note] = []
    end: StreamEnd | None = None
    """Tells whether the end mark has arrived. `is_reached` is set before the piece with the end mark is returned. The
    field is None if nothing checks the stream.
    """

    async def aclose(self) -> None:
        close = getattr(self.pieces, "aclose", None)
        if close is not None:
            await close()


class ModelCard(Struct, frozen=True):
    """A model that a backend offers.

    `window_tokens` is the length of context that the model reads well. If it is 0, the length is unknown and prompts
    are never shortened for the model. `longest_tokens` is the length of the longest request that the model accepts. It
    matters only if it exceeds `window_tokens`, for example with stretched positions.

    `endpoints` are the endpoints that the backend serves itself. A model that serves chat or messages also answers the
    other endpoints for conversations, because the gateway translates such requests. `logits` tells whether the backend
    returns the full distribution over the next token, which NBCE needs. `sampling` lists the parameters that a template
    may send. If the backend's API requires a limit on the answer, `answer_tokens` is the limit for requests that set
    none.
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    window_tokens: int = 0
    logits: bool = False
    longest_tokens: int = 0
    sampling: tuple[str, ...] = ("max_tokens", "temperature", "stop")
    answer_tokens: int = 0
    keeps_thinking: bool = False
    """Whether the backend's chat completions take and give what Anthropic's API has beyond OpenAI's: `thinking`,
    `thinking_blocks` with their signatures, `cache_control`, and images in the results of tools.
    """

    def answers(self, endpoint: Endpoint) -> bool:
        """Whether the model can answer requests to this endpoint, directly or through translation."""
        if endpoint in self.endpoints:
            return True
        translates = Endpoint.CHAT in self.endpoints or Endpoint.MESSAGES in self.endpoints
        return translates and (endpoint.takes_messages or endpoint is Endpoint.TOKEN_COUNT)


class Backend(Protocol):
    """A remote server or a local engine that answers requests.

    `send` raises `BackendFailed`, `BackendTimeout` or `NotReady` before the first byte; the caller then tries the next
    backend. A refusal by the backend (4xx) is a `Reply`, not an error.
    """

    name: str

    async def open(self) -> None:
        """Load the model or open the connections. This may take a long time. The gateway's port is already open during
        that time.
        """

    async def aclose(self) -> None: ...

    def models(self) -> Sequence[ModelCard]:
        """Return the models that the backend offers. A name may end in `*`. This may be called before `open`."""
        ...

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens that `text` has for this backend's models. This call blocks, so count long texts
        on a thread.
        """
        ...

    async def send(self, exchange: Exchange, model: str, headers: Headers) -> Reply:
        """Send a request and return the answer. `headers` are the client's headers to pass on (tracing,
        idempotency).
        """
        ...


@runtime_checkable
class Manageable(Protocol):
    """A backend that stores objects. Examples are completions, and models that the gateway's configuration does not
    name.
    """

    async def manage(self, method: str, path: str, query: str = "", body: bytes = b"") -> tuple[int, bytes]:
        """Send a request about a stored object to a path below `/v1/`. Returns the status and the JSON body.

        Raises `BackendFailed`.
        """
        ...


class PassedRequest(Struct):
    """A request that passes to a backend unchanged. `target` is the path below `/v1`, with the query string.

    `size` is the length of the body in bytes, or -1 if it is unknown. `headers` have no credentials of the client.
    `model` is the backend's name for the request's model, or "" if the request names none.
    """

    method: str
    target: bytes
    headers: Headers = ()
    body: AsyncIterator[bytes] | bytes = b""
    size: int = -1
    model: str = ""


@runtime_checkable
class Passable(Protocol):
    """A backend whose server has more paths than the gateway knows. Requests to these paths pass unchanged."""

    async def pass_on(self, request: PassedRequest) -> Reply:
        """Send the request with the backend's own key. The reply has `pieces`, which arrive as the server sends them.

        Raises `BackendFailed`, `BackendTimeout` or `NotReady`.
        """
        ...


class SocketEnd(Struct, frozen=True):
    """How a WebSocket ended: the code (RFC 6455, 7.4) and the reason. 1005 is the end without a code, and 1006 a lost
    connection.
    """

    code: int
    reason: str = ""


class BackendSocket(Protocol):
    """An open WebSocket at a backend. `subprotocol` is what the server chose, or ""."""

    subprotocol: str

    async def receive(self) -> str | bytes | SocketEnd:
        """Return the next message: a text as `str`, anything else as `bytes`."""
        ...

    async def send(self, message: str | bytes) -> None:
        """Send a message, and wait until the server has read enough. Does nothing after the end."""
        ...

    async def close(self, code: int, reason: str) -> None: ...


@runtime_checkable
class Connectable(Protocol):
    """A backend whose server opens WebSockets."""

    async def connect(
        self, request: PassedRequest, subprotocols: Sequence[str], most_bytes: int
    ) -> BackendSocket | Reply:
        """Open a WebSocket with the backend's own key. If the server refuses with a status, its answer is returned.

        `most_bytes` is the size of the largest message. Raises `BackendFailed`.
        """
        ...


class Embedder(Protocol):
    """Converts texts to unit vectors. Calls block; `context/embedding/batcher.py` makes them on a worker thread."""

    name: str
    dimensions: int
    window_tokens: int
    """The model ignores text after this many tokens, so chunks must be shorter."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors [texts, dimensions] as float32. Each row has length 1."""
        ...

    def count_tokens(self, text: str) -> int: ...


class VectorStore(Protocol):
    """Stores vectors and searches them by similarity. Names, texts and access rights are in the catalog.

    `keys` are the numbers of chunks, and `document` is the number of their document. Numbers are never reused. Calls
    block, so make them on a worker thread.
    """

    def collections(self) -> Sequence[str]: ...

    def add(self, collection: str, document: int, keys: Sequence[int], vectors: Vectors) -> None:
        """Insert vectors, or replace those with the same keys. A missing collection is created. Raises
        `CollectionError` if the number of dimensions differs from the collection's.
        """
        ...

    def search(
        self, collection: str, vector: Vectors, limit: int, documents: Sequence[int] | None = None
    ) -> Sequence[tuple[int, float]]:
        """Return the keys and cosine similarities of the most similar vectors, the best first. With `documents`, only
        the vectors of these documents are searched.
        """
        ...

    def remove(self, collection: str, documents: Sequence[int] | None = None) -> int:
        """Delete the vectors of these documents, or the whole collection. Return the number of deleted vectors."""
        ...

    def count(self, collection: str) -> int: ...

    def mend(self, collection: str) -> None:
        """Rename the files of a damaged collection, so that the collection can be filled again. An intact collection
        stays as it is.

        The other methods raise `StoreDamaged` for a damaged collection.
        """
        ...

    def close(self) -> None: ...


class Nearby(Protocol):
    """Searches the chunks of a collection by similarity. Calls block."""

    def search(self, collection: str, vector: Vectors, limit: int) -> Sequence[Chunk]:
        """Return the most similar chunks, the best first. Raises `CollectionError` if there is no such collection."""
        ...


class Reranker(Protocol):
    """Scores how well texts answer a query. A reranker is slower and more exact than vector similarity. Calls block."""

    @property
    def weight(self) -> float:
        """The weight of the reranker's scores in the final score, from 0 to 1. The scores of the search get the
        remaining weight.
        """
        ...

    def scores(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """Return one score for each text; higher is better. Raises `RequestError` if the texts cannot be scored."""
        ...


class HotState(Protocol):
    """State that requests and workers share: counters and cool-downs."""

    async def hit(self, key: str, limit: int, window_s: float) -> float:
        """Count one event for `key`. Return 0.0 if the count is within `limit`, else the seconds until the next
        window.
        """
        ...

    async def block(self, key: str, for_s: float) -> None: ...

    async def blocked(self, key: str) -> float:
        """Return the seconds for which `key` is still blocked, or 0.0."""
        ...

    async def aclose(self) -> None: ...


class ExchangeOutcome(Struct, frozen=True):
    """How an exchange ended. `ending` is `finished`, `failed`, or `left` (the client disconnected). `body` holds the
    bytes that the client got.
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


class ToolCall(Struct, frozen=True):
    """A tool call in an answer. `arguments` is JSON text, as the model wrote it."""

    name: str = ""
    arguments: str = ""


class Answer(Struct, frozen=True):
    """The contents of a reply: the text, the tool calls, the reason why the answer ended, and the usage in tokens (-1
    if unknown).

    `cached_tokens` counts prompt tokens that the backend took from a cache. `reasoning_tokens` counts the tokens of the
    reasoning within the answer.
    """

    text: str = ""
    finish: str = ""
    prompt_tokens: int = -1
    completion_tokens: int = -1
    extra: dict[str, Any] = {}
    cached_tokens: int = -1
    reasoning_tokens: int = -1
    calls: tuple[ToolCall, ...] = ()


class Completed(Struct, frozen=True):
    """The answer to a call that the gateway made for itself, and the call's cost."""

    answer: Answer
    call: Call


class Completer(Protocol):
    """Makes model calls for the gateway itself: for a refiner, a judge, or the calls that a template makes before the
    answer.
    """

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
        """Send `turns` to `model`, or to the exchange's own model if `model` is "".

        `schema` is a JSON schema for the answer. Not every backend enforces the schema. The caller sets the time limit.
        Raises `RequestError` if no target answers with status 200.
        """
        ...
