"""The values for OpenAI's tool `file_search`: the search that the client requests, and its results."""

from collections.abc import Mapping

from msgspec import Struct

from gateway.filters import Filter, Value


class FileSearch(Struct, frozen=True):
    """A search by the tool. `called` tells whether `tool_choice` allows the search.

    If `limit` is 0, the configured limit applies. If `threshold` is None, the floor of each store applies. `weight` is
    the share of the vectors in the score; if it is None, the usual share is used. `shown` tells whether the client
    requested the results. `query` is the text of the client's last message, even if that message has other parts too.
    `place` is the tool's index in the list of tools. `fault` describes a mistake in the field `faulty`. The mistake
    matters only if the gateway does the search.
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
    """The file from which a passage comes, with the id and the name that the client knows."""

    file: str
    name: str
    attributes: Mapping[str, Value] = {}


class FileSearchResult(Struct, frozen=True):
    """The queries of a search, and the file of each of the exchange's chunks. If `queries` is empty, no search was
    made."""

    queries: tuple[str, ...] = ()
    sources: tuple[FileSource, ...] = ()
