"""Builds a response from the pieces of a chat completion, and returns each step as an event.

A whole chat completion is one piece, and the last event then contains the response. Reasoning, text and each function
call are separate output items, in the order in which they start. A file search is the first item.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.mcp_offer import McpOffer, OfferedMcpTool
from gateway.wire.chat.calls import CallSorter
from gateway.wire.chat.completion import CalledFunction, CallPart, MessagePart
from gateway.wire.responses.output import (
    ApprovalRequest,
    Event,
    FunctionCall,
    McpCall,
    McpList,
    MessageItem,
    OutputItem,
    ReasoningItem,
    Refusal,
    SearchCall,
    SpokenItem,
)
from gateway.wire.responses.search import ShownSearch

FINISHED = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Finish reasons of chat that make a response incomplete, each with the reason that the response gives."""


class Builder:
    """Builds one response. `head` has all fields of the response except the output."""

    def __init__(
        self, head: Mapping[str, Any], search: ShownSearch | None = None, offer: McpOffer | None = None
    ) -> None:
        self._head = dict(head)
        self._search = search
        self._suffix = str(head["id"]).removeprefix("resp_")
        self._items: list[OutputItem] = []
        self._closed: set[int] = set()
        self._speaking: SpokenItem | None = None
        self._sorter = CallSorter()
        self._calls: list[FunctionCall | McpCall | ApprovalRequest] = []
        self._offered = {each.function: each for each in offer.tools} if offer is not None else {}

    def begin(self) -> Iterator[Event]:
        for name in ("created", "in_progress"):
            yield f"response.{name}", {"response": self.response("in_progress")}
        yield from self.searched()

    def searched(self) -> Iterator[Event]:
        """Add the finished search as an output item."""
        if self._search is not None:
            call = SearchCall(self._suffix, len(self._items), self._search.queries, self._search.results)
            yield from self._open(call)
            yield from self._done(call, "completed")

    def listed(self, label: str, tools: Sequence[OfferedMcpTool], error: str = "") -> Iterator[Event]:
        """Add the list of an MCP server's tools as an output item."""
        described = [
            {
                "name": each.tool.name,
                "description": each.tool.description,
                "input_schema": each.tool.schema,
                "annotations": {"read_only": each.tool.read_only},
            }
            for each in tools
        ]
        listed = McpList(self._suffix, len(self._items), label, described, error)
        yield from self._open(listed)
        yield from self._done(listed, "completed")

    def approved(self, tool: OfferedMcpTool, arguments: str, request: str) -> Iterator[Event]:
        """Add a call that the client has approved."""
        call = McpCall(self._suffix, len(self._items), tool, request)
        self._calls.append(call)
        yield from self._open(call)
        yield from call.grow(arguments, [])

    @property
    def calls(self) -> "Sequence[FunctionCall | McpCall | ApprovalRequest]":
        """The calls of this round."""
        return self._calls

    def called(self, call: McpCall) -> Iterator[Event]:
        """Report the result of a call."""
        yield from self._done(call, "completed")

    def end_round(self) -> Iterator[Event]:
        """Close the text of this round, because the model will be asked again."""
        yield from self._hush()
        self._sorter, self._calls = CallSorter(), []

    def add(self, part: MessagePart, logprobs: list[Any], *, whole: bool = False) -> Iterator[Event]:
        """Add one piece of a message, or a `whole` message. Empty texts are skipped."""
        if thought := part.thought:
            yield from self._speak(ReasoningItem, thought, [])
        if part.content:
            yield from self._speak(MessageItem, part.content, logprobs)
        if part.refusal:
            yield from self._speak(Refusal, part.refusal, [])
        for call in part.calls:
            yield from self._call(self._sorter.begin(call) if whole else self._sorter.number(call), call)

    def end(self, finish: str, usage: Mapping[str, Any] | None) -> Iterator[Event]:
        """Close the open items and report why the answer ended. An answer without output gets an item with an empty
        text."""
        if not self._items or isinstance(self._items[-1], SearchCall | McpList | McpCall):
            yield from self._open(self._new(MessageItem))
        reason = FINISHED.get(finish)
        yield from self._close("incomplete" if reason else "completed")
        status = "incomplete" if reason else "completed"
        details = {"reason": reason} if reason else None
        yield f"response.{status}", {"response": self.response(status, usage=usage, incomplete_details=details)}

    def failed(self, code: str, message: str) -> Event:
        """Mark the response as broken off. The response keeps its output so far."""
        error = {"code": code, "message": message}
        return "response.failed", {"response": self.response("failed", error=error)}

    def response(self, status: str, **fields: Any) -> dict[str, Any]:
        """Return the response in its current state."""
        open_as = "completed" if status == "completed" else "incomplete"
        output = [
            item.as_json("completed" if item.index in self._closed else open_as)
            for item in (() if status == "in_progress" else self._items)
        ]
        return {**self._head, "status": status, "output": output, **fields}

    def _speak(self, kind: type[SpokenItem], text: str, logprobs: list[Any]) -> Iterator[Event]:
        speaking = self._speaking
        if speaking is None or type(speaking) is not kind:
            yield from self._hush()
            speaking = self._speaking = self._new(kind)
            yield from self._open(speaking)
        yield from speaking.grow(text, logprobs)

    def _new(self, kind: type[SpokenItem]) -> SpokenItem:
        if kind is MessageItem and self._search is not None:
            return MessageItem(self._suffix, len(self._items), self._search.sources)
        return kind(self._suffix, len(self._items))

    def _call(self, number: int, part: CallPart) -> Iterator[Event]:
        """Add a part of a function call. The parts of several calls may alternate, so every call stays open until the
        end."""
        function = part.function or CalledFunction()
        if number == len(self._calls):
            yield from self._hush()
            call = self._new_call(part.id or "", function.name or "")
            self._calls.append(call)
            yield from self._open(call)
        call = self._calls[number]
        if isinstance(call, FunctionCall):
            call.name = call.name or function.name or ""
        if function.arguments:
            yield from call.grow(function.arguments, [])

    def _new_call(self, id: str, name: str) -> FunctionCall | McpCall | ApprovalRequest:
        tool = self._offered.get(name)
        if tool is None:
            return FunctionCall(self._suffix, len(self._items), id, name)
        return (ApprovalRequest if tool.needs_approval else McpCall)(self._suffix, len(self._items), tool)

    def _open(self, item: OutputItem) -> Iterator[Event]:
        self._items.append(item)
        yield "response.output_item.added", {"output_index": item.index, "item": item.as_json("in_progress")}
        yield from item.open()

    def _hush(self) -> Iterator[Event]:
        """Close the open text or reasoning, because another item starts."""
        if self._speaking is not None:
            yield from self._done(self._speaking, "completed")
            self._speaking = None

    def _close(self, status: str) -> Iterator[Event]:
        self._speaking = None
        for item in self._items:
            if item.index not in self._closed:
                yield from self._done(item, status)

    def _done(self, item: OutputItem, status: str) -> Iterator[Event]:
        yield from item.close()
        if status == "completed":
            self._closed.add(item.index)
        yield "response.output_item.done", {"output_index": item.index, "item": item.as_json(status)}
