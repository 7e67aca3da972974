"""Joins several answers of Anthropic's API to one, between which the gateway calls tools of MCP servers.

The client sees each call as a block `mcp_tool_use`, and its result as `mcp_tool_result`, as Anthropic's API itself
shows them.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from gateway.errors import BackendFailed
from gateway.mcp_offer import McpOffer, McpResult, OfferedMcpTool
from gateway.wire.loose_objects import object_of, objects_of
from gateway.wire.mcp.rounds import RoundCall, added, tools_of
from gateway.wire.mcp.servers import FIELD, TOOLSET
from gateway.wire.references import loose
from gateway.wire.responses.mcp import function_name
from gateway.wire.sse import data_in

USE, RESULT = "mcp_tool_use", "mcp_tool_result"
PREFIX = "mcp"
"""The ids of calls as the client sees them begin with this."""
NO_CALLS = b'{"type":"none"}'
DELTAS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
_object = msgspec.json.Decoder(dict[str, Raw])
_list = msgspec.json.Decoder(list[Raw])
_encode = msgspec.json.Encoder().encode


class MessageRounds:
    """See `AnswerRounds`."""

    def __init__(self, offer: McpOffer) -> None:
        self.calls: list[RoundCall] = []
        self.postponed = 0
        self._offer = offer
        self._tools = tools_of(offer)
        self._message: dict[str, Any] = {}
        self._content: list[Any] = []
        """The blocks that the client gets."""
        self._blocks: list[dict[str, Any]] = []
        """The blocks of the present round."""
        self._usage: Any = None
        self._of_round: dict[str, Any] = {}
        self._indexes: dict[str, tuple[int, int]] = {}
        """For each index in this round's stream: the block's place, and its index in the client's stream, or -1."""
        self._next_index = 0
        self._written: dict[int, str] = {}
        """The arguments of calls, as far as they are streamed."""
        self._begun = False
        self._ending: dict[str, Any] = {}

    def first(self, raw: bytes, *, may_call: bool) -> bytes:
        fields = _object.decode(raw)
        fields.pop(FIELD, None)
        given = _list.decode(fields["tools"]) if bytes(fields.get("tools", b"null")) != b"null" else []
        own = [
            tool for tool in given if TOOLSET.encode() not in bytes(tool) or loose(bytes(tool)).get("type") != TOOLSET
        ]
        tools = [*own, *[Raw(_encode(_tool(each))) for each in self._offer.tools]]
        if tools:
            fields["tools"] = Raw(_encode(tools))
        else:
            fields.pop("tools", None)
            fields.pop("tool_choice", None)
        if tools and not may_call:
            fields["tool_choice"] = Raw(NO_CALLS)
        messages = _list.decode(fields["messages"])
        if any(USE.encode() in bytes(message) for message in messages):
            fields["messages"] = Raw(_encode([part for message in messages for part in _plain(message)]))
        return _encode(fields)

    def next(self, raw: bytes, results: Sequence[McpResult], *, may_call: bool) -> bytes:
        fields = _object.decode(raw)
        said = {"role": "assistant", "content": self._blocks}
        answers = [_answer(call.id, result) for call, result in zip(self.calls, results, strict=True)]
        turns = [Raw(_encode(said)), Raw(_encode({"role": "user", "content": answers}))]
        fields["messages"] = Raw(_encode([*_list.decode(fields["messages"]), *turns]))
        fields.pop("tool_choice", None)
        if not may_call:
            fields["tool_choice"] = Raw(NO_CALLS)
        self.calls, self._blocks, self._indexes, self._written, self._ending = [], [], {}, {}, {}
        return _encode(fields)

    def whole(self, body: bytes) -> None:
        self._message = object_of(loose(body))
        self._blocks = objects_of(self._message.get("content"))
        self._usage = added(self._usage, self._message.get("usage"))
        self._settle()
        called = {call.id for call in self.calls}
        for block in self._blocks:
            if not self._is_ours(block):
                self._content.append(block)
            elif _id(block) in called:
                self._content.append(self._use(block))

    def feed(self, piece: bytes) -> bytes:
        return b"".join([self._event(object_of(loose(data)), bytes(data)) for data in data_in(piece)])

    def end_stream(self) -> bytes:
        if not self._ending:
            raise BackendFailed("The backend ended its stream without its end mark.", code="stream_cut")
        for place, text in self._written.items():
            self._blocks[place]["input"] = object_of(loose(text.encode()))
        self._usage = added(self._usage, self._of_round)
        self._settle(self._written)
        called = {call.id for call in self.calls}
        out = b""
        for block in self._blocks:
            if self._is_ours(block) and _id(block) in called:
                shown = self._use(block)
                delta = {"type": "input_json_delta", "partial_json": _encode(shown["input"]).decode()}
                out += self._block({**shown, "input": {}}, [delta])
        return out

    def told(self, results: Sequence[McpResult]) -> bytes:
        out = b""
        for call, result in zip(self.calls, results, strict=True):
            block = {**_answer(PREFIX + call.id, result), "type": RESULT}
            self._content.append(block)
            out += self._block(block, [])
        return out

    def end(self) -> bytes:
        ending = dict(self._ending)
        delta = dict(object_of(ending.get("delta")))
        delta["stop_reason"] = self._reason(delta.get("stop_reason"))
        ending["delta"] = delta
        ending["usage"] = self._usage
        return _framed(ending) + _framed({"type": "message_stop"})

    def body(self) -> bytes:
        reason = self._reason(self._message.get("stop_reason"))
        return _encode({**self._message, "content": self._content, "stop_reason": reason, "usage": self._usage})

    def _reason(self, reason: Any) -> Any:
        """Return why the answer ended. It waits for no call if the client has none to answer."""
        own = any(block.get("type") == "tool_use" and not self._is_ours(block) for block in self._blocks)
        return "end_turn" if reason == "tool_use" and not own else reason

    def _event(self, event: dict[str, Any], data: bytes) -> bytes:
        """Read an event, and return what the client gets."""
        match event.get("type"):
            case "message_start":
                self._of_round = object_of(object_of(event.get("message")).get("usage"))
                if self._begun:
                    return b""
                self._begun = True
            case "content_block_start":
                return self._start(event)
            case "content_block_delta" | "content_block_stop":
                return self._continue(event)
            case "message_delta":
                self._ending = event
                # its counts replace those of the start
                self._of_round = {**self._of_round, **object_of(event.get("usage"))}
                return b""
            case "message_stop":
                return b""
        return b"event: " + str(event.get("type")).encode() + b"\ndata: " + data + b"\n\n"

    def _start(self, event: dict[str, Any]) -> bytes:
        block = dict(object_of(event.get("content_block")))
        place, index = len(self._blocks), -1
        self._blocks.append(block)
        if block.get("type") == "tool_use":
            self._written[place] = ""
        if not self._is_ours(block):
            index = self._next_index
            self._next_index += 1
        self._indexes[str(event.get("index"))] = (place, index)
        return _framed({**event, "index": index}) if index >= 0 else b""

    def _continue(self, event: dict[str, Any]) -> bytes:
        place, index = self._indexes.get(str(event.get("index")), (-1, -1))
        if place < 0:
            return b""
        block, delta = self._blocks[place], object_of(event.get("delta"))
        if delta.get("type") == "input_json_delta":
            self._written[place] = self._written.get(place, "") + str(delta.get("partial_json") or "")
        elif (name := DELTAS.get(str(delta.get("type")))) is not None:
            block[name] = str(block.get(name) or "") + str(delta.get(name) or "")
        return _framed({**event, "index": index}) if index >= 0 else b""

    def _block(self, block: dict[str, Any], deltas: Iterable[dict[str, Any]]) -> bytes:
        """Return the events of a whole block."""
        index = self._next_index
        self._next_index += 1
        events = [{"type": "content_block_start", "index": index, "content_block": block}]
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        return b"".join([_framed(event) for event in (*events, {"type": "content_block_stop", "index": index})])

    def _settle(self, written: dict[int, str] | None = None) -> None:
        """Find the calls of this round."""
        calls, own = [], False
        for place, block in enumerate(self._blocks):
            if block.get("type") != "tool_use":
                continue
            tool = self._tools.get(str(block.get("name")))
            if tool is None:
                own = True
                continue
            arguments = (written or {}).get(place) or _encode(block.get("input") or {}).decode()
            calls.append(RoundCall(_id(block), tool, arguments))
        if own:
            self.postponed += len(calls)
        else:
            self.calls = calls

    def _is_ours(self, block: dict[str, Any]) -> bool:
        """Whether a block is a call of an MCP tool."""
        return block.get("type") == "tool_use" and str(block.get("name")) in self._tools

    def _use(self, block: dict[str, Any]) -> dict[str, Any]:
        """Return a call as the client sees it."""
        tool = self._tools[str(block.get("name"))]
        shown = {"id": PREFIX + _id(block), "name": tool.tool.name, "server_name": tool.label}
        return {"type": USE, **shown, "input": object_of(block.get("input"))}


def _id(block: dict[str, Any]) -> str:
    return str(block.get("id") or "")


def _is_toolset(tool: bytes) -> bool:
    return TOOLSET.encode() in tool and object_of(loose(tool)).get("type") == TOOLSET


def _tool(offered: OfferedMcpTool) -> dict[str, Any]:
    tool = offered.tool
    return {"name": offered.function, "description": tool.description, "input_schema": dict(tool.schema)}


def _answer(id: str, result: McpResult) -> dict[str, Any]:
    content = [{"type": "text", "text": result.said}]
    return {"type": "tool_result", "tool_use_id": id, "is_error": result.error is not None, "content": content}


def _plain(message: Raw) -> list[Any]:
    """Return a message of an earlier answer with its calls as ordinary ones: each result is a message of the user."""
    if USE.encode() not in bytes(message):
        return [message]
    value = object_of(loose(bytes(message)))
    turns: list[dict[str, Any]] = []
    for block in objects_of(value.get("content")):
        role, block = _plain_block(block, str(value.get("role")))
        if not turns or turns[-1]["role"] != role:
            turns.append({"role": role, "content": []})
        turns[-1]["content"].append(block)
    return turns


def _plain_block(block: dict[str, Any], role: str) -> tuple[str, dict[str, Any]]:
    if block.get("type") == USE:
        function = function_name(str(block.get("server_name")), str(block.get("name")))
        id = str(block.get("id")).removeprefix(PREFIX)
        return role, {"type": "tool_use", "id": id, "name": function, "input": object_of(block.get("input"))}
    if block.get("type") == RESULT:
        id = str(block.get("tool_use_id")).removeprefix(PREFIX)
        return "user", {**block, "type": "tool_result", "tool_use_id": id}
    return role, block


def _framed(event: dict[str, Any]) -> bytes:
    return b"event: " + str(event["type"]).encode() + b"\ndata: " + _encode(event) + b"\n\n"
