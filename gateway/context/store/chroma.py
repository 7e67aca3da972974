"""Chroma as the vector store: embedded in a folder, or as a Chroma server.

Chroma lets only one process open a folder. Here each call locks the folder (`shared_folder.py`), so that several
processes can use it. For example, `foreword collections add` works while the gateway runs. Within a process, open only
one `ChromaStore` for each folder.

A search never returns deleted vectors. However, an embedded Chroma leaves the numbers of deleted vectors on the disk.
Chroma never stores texts.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from msgspec import Struct

from gateway.context.store.shared_folder import SharedFolder, damaged, set_aside
from gateway.errors import CollectionError, Problem, StoreDamaged, StoreUnreachable
from gateway.registry import AdapterKind
from gateway.settings.web_address import split_url

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.models.Collection import Collection

    from gateway.ports import Vectors


OURS = "vs_"
"""The prefix of the ids of the gateway's collections."""
DAMAGE = re.compile(r"code: (?:11|26)\b|malformed|not a database|hnsw|corrupt|index file", re.IGNORECASE)
"""Matches Chroma's errors about unreadable files. Other errors, such as a full disk, do not damage the files."""
HNSW: Any = {"space": "cosine", "ef_search": 200}
"""A search with Chroma's default of 100 for `ef_search` misses more of the nearest vectors than a search with 200."""


class ChromaSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """`[store] kind = "chroma"`: an embedded Chroma or a Chroma server."""

    path: str = ""
    """The folder of the embedded store, relative to the config file. Default: `chroma` in the data folder."""
    url: str = ""
    """The URL of a Chroma server (`chroma run`), such as `http://127.0.0.1:8000`. It replaces the embedded store. Use a
    server for gateways on several machines.
    """


class ChromaStore:
    """Satisfies `ports.VectorStore`. Several threads may share a store. Calls run one after another."""

    def __init__(self, folder: Path | None = None, url: str = "") -> None:
        self.url = url
        self._folder = SharedFolder(folder) if folder else None
        self._version = -1
        self._client: Client | None = None
        self._one_at_a_time = threading.Lock()

    def collections(self) -> Sequence[str]:
        with self._open() as client:
            # other programs may use the same server
            return sorted(entry.name for entry in client.list_collections() if entry.name.startswith(OURS))

    def add(self, collection: str, document: int, keys: Sequence[int], vectors: Vectors) -> None:
        """Insert or replace vectors. Chroma's own `add` ignores ids that exist already. Its `upsert` refuses a call
        with repeated ids, so only the last vector of each key is passed on.
        """
        unique = {key: row for row, key in enumerate(keys)}
        rows = list(unique.values())
        with self._open(writing=True) as client:
            target = client.get_or_create_collection(collection, configuration={"hnsw": HNSW}, embedding_function=None)
            step = client.get_max_batch_size()
            for first in range(0, len(rows), step):
                batch = rows[first : first + step]
                with _explained(collection):
                    target.upsert(
                        ids=[str(keys[row]) for row in batch],
                        embeddings=vectors[batch],
                        metadatas=[{"document": document} for _ in batch],
                    )

    def search(
        self, collection: str, vector: Vectors, limit: int, documents: Sequence[int] | None = None
    ) -> Sequence[tuple[int, float]]:
        query: Any = vector.reshape(1, -1)
        where: Any = None if documents is None else {"document": {"$in": list(documents)}}
        with self._open() as client:
            stored = _collection(client, collection)
            if stored is None or (documents is not None and not documents):
                return []
            with _explained(collection):
                answer: Any = stored.query(query_embeddings=query, n_results=limit, where=where, include=["distances"])
        pairs = zip(answer["ids"][0], answer["distances"][0], strict=True)
        return [(int(key), 1.0 - distance) for key, distance in pairs]

    def remove(self, collection: str, documents: Sequence[int] | None = None) -> int:
        with self._open(writing=True) as client:
            stored = _collection(client, collection)
            if stored is None:
                return 0
            if documents is not None:
                return sum(_delete(stored, document, client.get_max_batch_size()) for document in documents)
            count = stored.count()
            client.delete_collection(stored.name)
            return count

    def count(self, collection: str) -> int:
        with self._open() as client:
            stored = _collection(client, collection)
            return stored.count() if stored else 0

    def mend(self, collection: str) -> None:
        """If the files of the store are unreadable, move them aside. All collections share these files."""
        if self._folder is None:
            return
        try:
            self.count(collection)
        except StoreDamaged:
            with self._one_at_a_time, self._folder.use(writing=True) as version:
                self._drop()
                set_aside(self._folder.folder)
                self._version = version.held

    def close(self) -> None:
        with self._one_at_a_time:
            self._drop()

    def _open(self, *, writing: bool = False) -> AbstractContextManager[Client]:
        return self._embedded(self._folder, writing) if self._folder else self._remote()

    @contextmanager
    def _embedded(self, folder: SharedFolder, writing: bool) -> Iterator[Client]:
        with self._one_at_a_time, folder.use(writing=writing) as version:
            if self._client is None or version.before != self._version:
                self._drop()
                self._client = _open_folder(folder.folder)
            self._version = version.held
            with _translated(folder.folder):
                yield self._client

    @contextmanager
    def _remote(self) -> Iterator[Client]:
        from chromadb.errors import ChromaError

        with self._one_at_a_time:
            if self._client is None:
                self._client = _connect(self.url)
            try:
                yield self._client
            except (ChromaError, CollectionError):
                raise
            except Exception as error:  # those of Chroma's HTTP client, which has no common one
                raise _unreachable(self.url, error) from error

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            owners: tuple[Any, ...] = (self._client, self._client._admin_client)
            for owner in owners:
                session = getattr(owner._server, "_session", None)
                if session is not None:  # Chroma leaves its HTTP connections open
                    session.close()
            self._client = None


def _collection(client: Client, name: str) -> Collection | None:
    from chromadb.errors import NotFoundError

    try:
        return client.get_collection(name, embedding_function=None)
    except NotFoundError:
        return None


def _delete(stored: Collection, document: int, step: int) -> int:
    ids = stored.get(where={"document": document}, include=[])["ids"]
    for first in range(0, len(ids), step):
        stored.delete(ids=ids[first : first + step])
    return len(ids)


@contextmanager
def _explained(collection: str) -> Iterator[None]:
    from chromadb.errors import InvalidArgumentError, InvalidDimensionException

    try:
        yield
    except (InvalidArgumentError, InvalidDimensionException) as error:
        raise CollectionError(
            f"collection {collection!r} does not take these vectors ({error}); if the embedder was changed, "
            f"remove the collection and add its files again"
        ) from error


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    """Convert Chroma's errors to `StoreDamaged` or `CollectionError`."""
    from chromadb.errors import InternalError

    try:
        yield
    except InternalError as error:
        if DAMAGE.search(str(error)):
            raise damaged(folder, str(error)) from error
        raise CollectionError(f"{folder}: Chroma failed: {error}") from error


def _open_folder(folder: Path) -> Client:
    import chromadb
    from chromadb.api.shared_system_client import SharedSystemClient
    from chromadb.config import Settings

    try:
        with _translated(folder):
            client: Any = chromadb.PersistentClient(path=str(folder), settings=Settings(anonymized_telemetry=False))
    except BaseException:
        # otherwise Chroma would reuse the unfinished client for the next call
        SharedSystemClient._identifier_to_system.pop(str(folder), None)
        raise
    return cast("Client", client)  # Chroma declares an interface without `close`


def _connect(url: str) -> Client:
    import chromadb
    from chromadb.config import Settings

    parts = urlsplit(url)
    secure = parts.scheme == "https"
    try:
        client: Any = chromadb.HttpClient(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or (443 if secure else 8000),
            ssl=secure,
            settings=Settings(anonymized_telemetry=False),
        )
    except ValueError as error:  # Chroma raises this for every failure to connect
        raise _unreachable(url, error) from error
    return cast("Client", client)


def _unreachable(url: str, reason: Exception) -> StoreUnreachable:
    parts = urlsplit(url)
    # a user and a password of the address are nobody's to read
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return StoreUnreachable(
        f"no Chroma server answers at {place}: {reason}. Until one does, searches use words only, "
        "and nothing can be added"
    )


def build(name: str, settings: ChromaSettings, parts: Any) -> ChromaStore:
    """Build the store. `parts.settings` gives the data folder, and the folder to which relative paths refer."""
    if settings.url:
        return ChromaStore(url=settings.url)
    if settings.path:
        return ChromaStore((parts.settings.root / Path(settings.path).expanduser()).resolve())
    return ChromaStore(parts.settings.data_folder / "chroma")


def check(settings: ChromaSettings, _root: Path) -> Iterable[Problem]:
    if find_spec("chromadb") is None:
        yield Problem("kind", "chromadb is not installed", "Run: pip install 'foreword[context]'")
    if settings.url and settings.path:
        yield Problem("path", "is not used when there is a url", "Keep one of the two.")
    if settings.url and split_url(settings.url).scheme not in ("http", "https"):
        yield Problem("url", f"{settings.url!r} is not an address", 'For example "http://127.0.0.1:8000".')


KIND = AdapterKind(settings=ChromaSettings, build=build, check=check)
