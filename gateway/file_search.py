"""Values for OpenAI's tool `file_search`: the search that a client asks for, and the results of the search."""

from collections.abc import Mapping

from msgspec import Struct

from gateway.filters import Filter, Value


class FileSearch(Struct, frozen=True):
    """A search that the client asks for. `called` tells whether `tool_choice` allows the search. `offered` tells
    whether `tool_choice` leaves the choice to the model.

    `limit` is the number of results. With 0, the configured number applies. `threshold` is the minimum score, or None.
    `weight` is the share of the vectors in a score. With None, the default share applies.

    `shown` tells whether the client wants to see the results. `query` is the text of the client's last message, without
    images and other parts. `place` is the index of the tool in the list of tools.

    `fault` describes a mistake in the field `faulty`. The mistake matters only if the gateway runs the search.
    """

    stores: tuple[str, ...] = ()
    limit: int = 0
    threshold: float | None = None
    filters: Filter | None = None
    weight: float | None = None
    rerank: bool = True
    called: bool = True
    offered: bool = True
    shown: bool = False
    query: str = ""
    place: int = 0
    fault: str = ""
    faulty: str = ""
    code: str | None = None


class FileSource(Struct, frozen=True):
    """The file of a chunk, with the id and the name that clients use."""

    file: str
    name: str
    attributes: Mapping[str, Value] = {}


class FileSearchResult(Struct, frozen=True):
    """The queries of a search, and the file of each chunk in the exchange. `queries` is empty if no search was made."""

    queries: tuple[str, ...] = ()
    sources: tuple[FileSource, ...] = ()
