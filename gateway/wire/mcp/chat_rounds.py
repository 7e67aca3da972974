"""Joins several chat completions to one, between which the gateway calls tools of MCP servers.

The client sees the texts of all rounds, the finish reason of the last one, and the sum of the usage. Calls of MCP tools
are left out, since a client would try to answer them.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from gateway.errors import BackendFailed
from gateway.mcp_offer import McpOffer, McpResult
from gateway.wire.chat.fold import DONE
from gateway.wire.loose_objects import object_of, objects_of
from gateway.wire.mcp.rounds import RoundCall, added, tools_of
from gateway.wire.mcp.tools import MARK, NAME
from gateway.wire.references import loose
from gateway.wire.responses.mcp import next_round
from gateway.wire.responses.tools import offered
from gateway.wire.sse import data_in

NO_CALLS = b'"none"'
_object = msgspec.json.Decoder(dict[str, Raw])
_list = msgspec.json.Decoder(list[Raw])
_encode = msgspec.json.Encoder().encode


class ChatRounds:
    """See `AnswerRounds`."""

    def __init__(self, offer: McpOffer) -> None:
        self.calls: list[RoundCall] = []
        self.postponed = 0
        self._offer = offer
        self._tools = tools_of(offer)
        self._texts: list[str] = []
        """The texts of the rounds, in order."""
        self._said = ""
        self._asked: dict[str, dict[str, Any]] = {}
        """All calls of the present round, by their index."""
        self._usage: Any = None
        self._completion: dict[str, Any] = {}
        self._last: dict[str, Any] | None = None
        """The chunk with the finish reason."""
        self._usage_chunk: dict[str, Any] | None = None

    def first(self, raw: bytes, *, may_call: bool) -> bytes:
        fields = _object.decode(raw)
        given = _list.decode(fields["tools"])
        own = [tool for tool in given if MARK not in bytes(tool) or object_of(loose(bytes(tool))).get("type") != NAME]
        tools = [*own, *[Raw(_encode(tool)) for tool in offered(self._offer)]]
        fields["tools"] = Raw(_encode(tools))
        if not tools:
            del fields["tools"]
            fields.pop("tool_choice", None)
        elif not may_call:
            fields["tool_choice"] = Raw(NO_CALLS)
        return _encode(fields)

    def next(self, raw: bytes, results: Sequence[McpResult], *, may_call: bool) -> bytes:
        answered = [
            (call.id, call.tool.function, call.arguments or "{}", result.said)
            for call, result in zip(self.calls, results, strict=True)
        ]
        body = next_round(raw, self._said, answered, is_last=not may_call)
        self.calls, self._said, self._asked, self._last = [], "", {}, None
        return body

    def whole(self, body: bytes) -> None:
        self._completion = object_of(loose(body))
        choice = next(iter(objects_of(self._completion.get("choices"))), {})
        message = object_of(choice.get("message"))
        self._usage = added(self._usage, self._completion.get("usage"))
        self._take_text(message.get("content"))
        self._asked = {str(place): call for place, call in enumerate(objects_of(message.get("tool_calls")))}
        self._settle()

    def feed(self, piece: bytes) -> bytes:
        out = []
        for data in data_in(piece):
            if data.startswith(DONE):
                continue
            chunk = object_of(loose(data))
            if (kept := self._chunk(chunk)) is chunk:
                out.append(b"data: " + bytes(data) + b"\n\n")
            elif kept is not None:
                out.append(_framed(kept))
        return b"".join(out)

    def end_stream(self) -> bytes:
        if self._last is None:
            raise BackendFailed("The backend ended its stream without its end mark.", code="stream_cut")
        self._settle()
        return b""

    def told(self, results: Sequence[McpResult]) -> bytes:
        return b""

    def end(self) -> bytes:
        last = self._last or {}
        out = []
        if own := self._own():
            calls = [{"index": place, **call} for place, call in enumerate(own)]
            choice = {"index": 0, "delta": {"tool_calls": calls}, "finish_reason": None}
            out.append(_framed({**last, "choices": [choice]}))
        choices = objects_of(last.get("choices"))
        if choices and not own and choices[0].get("finish_reason") == "tool_calls":
            last = {**last, "choices": [{**choices[0], "finish_reason": "stop"}]}
        if self._usage is not None and self._usage_chunk is None:
            last = {**last, "usage": self._usage}
        out.append(_framed(last))
        if self._usage_chunk is not None:
            out.append(_framed({**self._usage_chunk, "usage": self._usage}))
        return b"".join([*out, b"data: [DONE]\n\n"])

    def body(self) -> bytes:
        choice = dict(next(iter(objects_of(self._completion.get("choices"))), {}))
        message = dict(object_of(choice.get("message")))
        text = "\n\n".join([text for text in self._texts if text])
        message["content"] = text or message.get("content")
        own = self._own()
        if "tool_calls" in message:
            message["tool_calls"] = own
            if not own:
                del message["tool_calls"]
                if choice.get("finish_reason") == "tool_calls":
                    choice["finish_reason"] = "stop"
        choice["message"] = message
        whole = {**self._completion, "choices": [choice]}
        if self._usage is not None:
            whole["usage"] = self._usage
        return _encode(whole)

    def _chunk(self, chunk: dict[str, Any]) -> dict[str, Any] | None:
        """Read a chunk. Returns the chunk itself, what the client gets of it, or None."""
        usage = chunk.get("usage")
        self._usage = added(self._usage, usage)
        choices = objects_of(chunk.get("choices"))
        if not choices:
            if usage is not None:
                self._usage_chunk = chunk
                return None
            return chunk
        delta = object_of(choices[0].get("delta"))
        if isinstance(text := delta.get("content"), str):
            self._said += text
        for part in objects_of(delta.get("tool_calls")):
            self._call_part(part)
        if choices[0].get("finish_reason"):
            self._last = {**chunk, "choices": [{**choices[0], "delta": {}}]}
        rest = {name: value for name, value in delta.items() if name != "tool_calls" and value not in (None, "")}
        if "tool_calls" not in delta and not choices[0].get("finish_reason"):
            return chunk
        if not rest or set(rest) == {"role"}:
            return None
        return {**chunk, "choices": [{**choices[0], "delta": rest, "finish_reason": None}], "usage": None}

    def _call_part(self, part: dict[str, Any]) -> None:
        empty = {"type": "function", "function": {"name": "", "arguments": ""}}
        call = self._asked.setdefault(str(part.get("index")), empty)
        call.update({name: value for name, value in part.items() if name not in ("index", "function") and value})
        for name, value in object_of(part.get("function")).items():
            if isinstance(value, str):
                call["function"][name] = call["function"].get(name, "") + value

    def _take_text(self, content: Any) -> None:
        self._said = content if isinstance(content, str) else ""
        self._texts.append(self._said)

    def _own(self) -> list[dict[str, Any]]:
        """Return the calls of the client's own functions."""
        return [call for call in self._asked.values() if _name(call) not in self._tools]

    def _settle(self) -> None:
        """Find the calls of this round."""
        calls = [
            RoundCall(str(call.get("id") or f"call_{place}"), self._tools[_name(call)], _arguments(call))
            for place, call in enumerate(self._asked.values())
            if _name(call) in self._tools
        ]
        if self._own():
            self.postponed += len(calls)
        else:
            self.calls = calls


def _framed(chunk: dict[str, Any]) -> bytes:
    return b"data: " + _encode(chunk) + b"\n\n"


def _name(call: dict[str, Any]) -> str:
    return str(object_of(call.get("function")).get("name"))


def _arguments(call: dict[str, Any]) -> str:
    return str(object_of(call.get("function")).get("arguments") or "")
