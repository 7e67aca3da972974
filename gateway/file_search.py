"""OpenAI's tool `file_search` as values: the search that the client requests, and its results."""

from collections.abc import Mapping

from msgspec import Struct

from gateway.filters import Filter, Value


class FileSearch(Struct, frozen=True):
    """A search by the tool. `called`: `tool_choice` allows it.

    `limit` 0: as configured. `threshold` None: each store's own floor. `weight` is the share of the vectors
    (None: the usual one). `shown`: the client requested the results. `query` is the text of the client's last
    message, even if that message has other parts too. `place` is the tool's index among the tools. `fault` is
    the mistake in the field `faulty`; it matters only if the gateway does the search.
    """

    stores: tuple[str, ...] = ()
    limit: int = 0
    threshold: float | None = None
    filters: Filter | None = None
    weight: float | None = None
    rerank: bool = True
    called: bool = True
    shown: bool = False
    query: str = ""
    place: int = 0
    fault: str = ""
    faulty: str = ""
    code: str | None = None


class FileSource(Struct, frozen=True):
    """The file of a passage, with the id and name that the client knows."""

    file: str
    name: str
    attributes: Mapping[str, Value] = {}


class FileSearchResult(Struct, frozen=True):
    """The queries of a search, and the file of each of the exchange's chunks. No `queries`: there was no search."""

    queries: tuple[str, ...] = ()
    sources: tuple[FileSource, ...] = ()
