"""Builds one response from several chat completions: between two of them, the gateway calls tools of MCP servers."""

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.errors import BackendFailed
from gateway.mcp_offer import McpOffer
from gateway.wire.chat.completion import read_completion
from gateway.wire.chat.faults import MARK as FAULT
from gateway.wire.chat.faults import fault_of, raised, whole_answer
from gateway.wire.chat.fold import DONE, NO_USAGE
from gateway.wire.responses.answer import usage_of
from gateway.wire.responses.build import Builder
from gateway.wire.responses.output import Event
from gateway.wire.responses.search import ShownSearch
from gateway.wire.sse import data_in


class ToolRounds:
    """Reads chat completions and returns the events of one response. Usage is summed over all rounds.

    After a round, `said` has the text of this round, and `finish` the reason why it ended.
    """

    def __init__(self, head: Mapping[str, Any], search: ShownSearch | None, offer: McpOffer) -> None:
        self.build = Builder(head, search, offer)
        self.finish = ""
        self._said: list[str] = []
        self._usage: dict[str, Any] | None = None
        self._of_round: dict[str, Any] | None = None

    @property
    def said(self) -> str:
        return "".join(self._said)

    def begin(self) -> None:
        """Start a round."""
        self.finish, self._said, self._of_round = "", [], None

    def whole(self, body: bytes) -> Iterator[Event]:
        """Read a whole completion. Raises the failure that the body reports, or `BackendFailed`."""
        completion, first, part = whole_answer(body)
        self._of_round = usage_of(completion.usage)
        self.finish = first.finish_reason or "stop"
        self._said.append(part.content or "")
        yield from self.build.add(part, first.token_logprobs, whole=True)
        self._settle()

    def feed(self, piece: bytes) -> Iterator[Event]:
        """Read a piece of a stream. Raises the failure that the piece reports."""
        for data in data_in(piece):
            chunk = None if data.startswith(DONE) else read_completion(data)
            if chunk is None:
                continue
            if chunk.usage is not None and chunk.usage != NO_USAGE:
                self._of_round = usage_of(chunk.usage)
            choice = chunk.first
            if choice is not None:
                self.finish = choice.finish_reason or self.finish
                part = choice.message_part
                if part is not None:
                    self._said.append(part.content or "")
                    yield from self.build.add(part, choice.token_logprobs)
            fault = fault_of(data) if FAULT in data else None
            if fault is not None:
                raise raised(fault)

    def end_stream(self) -> None:
        """End a streamed round. Raises `BackendFailed` if the stream had no end."""
        if not self.finish:
            raise BackendFailed("The backend ended its stream without its end mark.", code="stream_cut")
        self._settle()

    def end(self) -> Iterator[Event]:
        yield from self.build.end(self.finish or "stop", self._usage)

    def _settle(self) -> None:
        self._usage = _sum(self._usage, self._of_round)


def _sum(one: dict[str, Any] | None, other: dict[str, Any] | None) -> dict[str, Any] | None:
    if one is None or other is None:
        return one or other
    return {
        name: _sum(value, other[name]) if isinstance(value, dict) else value + other[name]
        for name, value in one.items()
    }
