"""What the answers of several rounds have in common: the calls of a round, and the sum of what was used."""

from collections.abc import Sequence
from typing import Any, Protocol

from msgspec import Struct

from gateway.mcp_offer import McpOffer, McpResult, OfferedMcpTool


class RoundCall(Struct):
    """A call of an MCP tool in an answer. `arguments` is JSON text, as the model wrote it."""

    id: str
    tool: OfferedMcpTool
    arguments: str


class AnswerRounds(Protocol):
    """Joins the answers of several rounds to one answer of an API. In a stream, methods return bytes for the client."""

    calls: list[RoundCall]
    """The calls of the present round. They are empty if the model also called a function of the client, since the
    client must answer that one first."""
    postponed: int
    """The calls that were left out of the answer for this reason."""

    def first(self, raw: bytes, *, may_call: bool) -> bytes:
        """Return the body of the first request, with the tools as functions."""
        ...

    def next(self, raw: bytes, results: Sequence[McpResult], *, may_call: bool) -> bytes:
        """Return the body of the next request, and start a round."""
        ...

    def whole(self, body: bytes) -> None:
        """Read a whole answer."""
        ...

    def feed(self, piece: bytes) -> bytes:
        """Read a piece of a stream, which holds whole events."""
        ...

    def end_stream(self) -> bytes:
        """End a streamed round. Raises `BackendFailed` if the stream had no end."""
        ...

    def told(self, results: Sequence[McpResult]) -> bytes:
        """Add the results of the calls of this round."""
        ...

    def end(self) -> bytes:
        """Return the end of the stream."""
        ...

    def body(self) -> bytes:
        """Return the whole answer."""
        ...


def tools_of(offer: McpOffer) -> dict[str, OfferedMcpTool]:
    """Return the tools by the names of their functions."""
    return {each.function: each for each in offer.tools}


def added(one: Any, other: Any) -> Any:
    """Return the sum of two reports of usage. Numbers are added, and of other values the later one counts."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {**one, **{name: added(one.get(name), value) for name, value in other.items()}}
    if _is_number(one) and _is_number(other):
        return one + other
    return one if other is None else other


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
