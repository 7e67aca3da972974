"""Builds the output items of a response while the answer is generated, and their events."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from gateway.file_search import FileSource
from gateway.mcp_offer import McpResult, OfferedMcpTool
from gateway.wire.citations.marks import CitationMark, MarkFinder

Event = tuple[str, dict[str, Any]]
"""An event's type and fields. The sequence number is added later."""


class OutputItem:
    """One output item of a response. `index` is the item's position in the output."""

    prefix: ClassVar[str]

    def __init__(self, suffix: str, index: int) -> None:
        self.id = f"{self.prefix}_{suffix}_{index}"
        self.index = index
        self._texts: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def at(self, **fields: Any) -> dict[str, Any]:
        return {"item_id": self.id, "output_index": self.index, **fields}

    def as_json(self, status: str) -> dict[str, Any]:
        raise NotImplementedError

    def open(self) -> Iterator[Event]:
        raise NotImplementedError

    def grow(self, text: str, logprobs: list[Any]) -> Iterator[Event]:
        raise NotImplementedError

    def close(self) -> Iterator[Event]:
        raise NotImplementedError


class SpokenItem(OutputItem):
    """An item with one content part. `kind` is the part's type, and `field` is the name of the part's text field."""

    kind: ClassVar[str]
    field: ClassVar[str] = "text"

    def part(self, text: str) -> dict[str, Any]:
        return {"type": self.kind, self.field: text}

    def content(self, status: str) -> list[dict[str, Any]]:
        return [] if status == "in_progress" else [self.part(self.text)]

    def open(self) -> Iterator[Event]:
        yield "response.content_part.added", self.at(content_index=0, part=self.part(""))

    def grow(self, text: str, logprobs: list[Any]) -> Iterator[Event]:
        self._texts.append(text)
        yield f"response.{self.kind}.delta", self.at(content_index=0, delta=text)

    def close(self) -> Iterator[Event]:
        yield f"response.{self.kind}.done", self.at(content_index=0, **{self.field: self.text})
        yield "response.content_part.done", self.at(content_index=0, part=self.part(self.text))


class Refusal(SpokenItem):
    prefix, kind, field = "msg", "refusal", "refusal"

    def as_json(self, status: str) -> dict[str, Any]:
        fields = {"status": status, "role": "assistant", "content": self.content(status)}
        return {"id": self.id, "type": "message", **fields}


class MessageItem(Refusal):
    """A message. `sources` are the files that the text can cite: [1] cites the first file."""

    prefix, kind, field = "msg", "output_text", "text"

    def __init__(self, suffix: str, index: int, sources: Sequence[FileSource] = ()) -> None:
        super().__init__(suffix, index)
        self._logprobs: list[Any] = []
        self._sources = sources
        self._marks = MarkFinder()
        self._annotations: list[dict[str, Any]] = []

    def part(self, text: str) -> dict[str, Any]:
        annotations, logprobs = (self._annotations, self._logprobs) if text else ([], [])
        return {**super().part(text), "annotations": annotations, "logprobs": logprobs}

    def grow(self, text: str, logprobs: list[Any]) -> Iterator[Event]:
        self._logprobs += logprobs
        for type, fields in super().grow(text, logprobs):
            yield type, {**fields, "logprobs": logprobs}
        if self._sources:
            yield from self._cited(self._marks.feed(text))

    def close(self) -> Iterator[Event]:
        yield from self._cited(self._marks.finish())
        (type, fields), part = super().close()
        yield type, {**fields, "logprobs": self._logprobs}
        yield part

    def _cited(self, marks: Iterable[CitationMark]) -> Iterator[Event]:
        """Add an annotation for each file that the text cites. Cited numbers without a file are skipped."""
        for mark in marks:
            sources = [self._sources[number - 1] for number in mark.numbers if 1 <= number <= len(self._sources)]
            for file, name in dict.fromkeys((source.file, source.name) for source in sources):
                cited = {"type": "file_citation", "file_id": file, "filename": name, "index": mark.end}
                place = len(self._annotations)
                self._annotations.append(cited)
                added = self.at(content_index=0, annotation_index=place, annotation=cited)
                yield "response.output_text.annotation.added", added


class SearchCall(OutputItem):
    prefix = "fs"

    def __init__(
        self, suffix: str, index: int, queries: Sequence[str], results: Sequence[Mapping[str, Any]] | None
    ) -> None:
        super().__init__(suffix, index)
        self._queries, self._results = queries, results

    def as_json(self, status: str) -> dict[str, Any]:
        begun = status == "in_progress"
        fields = {"queries": () if begun else self._queries, "results": None if begun else self._results}
        return {"id": self.id, "type": "file_search_call", "status": status, **fields}

    def open(self) -> Iterator[Event]:
        for step in ("in_progress", "searching"):
            yield f"response.file_search_call.{step}", self.at()

    def close(self) -> Iterator[Event]:
        yield "response.file_search_call.completed", self.at()


class McpList(OutputItem):
    """The tools of an MCP server."""

    prefix = "mcpl"

    def __init__(self, suffix: str, index: int, label: str, tools: Sequence[Mapping[str, Any]], error: str) -> None:
        super().__init__(suffix, index)
        self._label, self._tools, self._error = label, tools, error

    def as_json(self, status: str) -> dict[str, Any]:
        tools = () if status == "in_progress" else self._tools
        fields = {"server_label": self._label, "tools": tools, "error": self._error or None}
        return {"id": self.id, "type": "mcp_list_tools", **fields}

    def open(self) -> Iterator[Event]:
        yield "response.mcp_list_tools.in_progress", self.at()

    def close(self) -> Iterator[Event]:
        yield f"response.mcp_list_tools.{'failed' if self._error else 'completed'}", self.at()


class McpCall(OutputItem):
    """A call of an MCP tool. `result` is None until the call has ended."""

    prefix = "mcp"

    def __init__(self, suffix: str, index: int, tool: OfferedMcpTool, approval: str = "") -> None:
        super().__init__(suffix, index)
        self.tool = tool
        self.result: McpResult | None = None
        self._approval = approval

    def as_json(self, status: str) -> dict[str, Any]:
        result = self.result
        if result is not None:
            status = "completed" if result.error is None else "failed"
        return {
            "id": self.id,
            "type": "mcp_call",
            "status": status,
            "approval_request_id": self._approval or None,
            "arguments": "" if status == "in_progress" else self.text,
            "error": None if result is None else result.error,
            "name": self.tool.tool.name,
            "output": result.text if result is not None and result.error is None else None,
            "server_label": self.tool.label,
        }

    def open(self) -> Iterator[Event]:
        yield "response.mcp_call.in_progress", self.at()

    def grow(self, text: str, logprobs: list[Any]) -> Iterator[Event]:
        self._texts.append(text)
        yield "response.mcp_call_arguments.delta", self.at(delta=text)

    def complete(self) -> Iterator[Event]:
        """Report that the arguments are complete. The call has not been made yet."""
        yield "response.mcp_call_arguments.done", self.at(arguments=self.text)

    def close(self) -> Iterator[Event]:
        if self.result is not None:
            yield f"response.mcp_call.{'completed' if self.result.error is None else 'failed'}", self.at()


class ApprovalRequest(OutputItem):
    """A call of an MCP tool that the client must approve."""

    prefix = "mcpr"

    def __init__(self, suffix: str, index: int, tool: OfferedMcpTool) -> None:
        super().__init__(suffix, index)
        self._tool = tool

    def as_json(self, status: str) -> dict[str, Any]:
        fields = {"arguments": self.text, "name": self._tool.tool.name, "server_label": self._tool.label}
        return {"id": self.id, "type": "mcp_approval_request", **fields}

    def open(self) -> Iterator[Event]:
        return iter(())

    def grow(self, text: str, logprobs: list[Any]) -> Iterator[Event]:
        self._texts.append(text)
        return iter(())

    def close(self) -> Iterator[Event]:
        return iter(())


class ReasoningItem(SpokenItem):
    prefix, kind = "rs", "reasoning_text"

    def as_json(self, status: str) -> dict[str, Any]:
        fields = {"status": status, "summary": [], "content": self.content(status)}
        return {"id": self.id, "type": "reasoning", **fields}


class FunctionCall(OutputItem):
    prefix = "fc"

    def __init__(self, suffix: str, index: int, call_id: str, name: str) -> None:
        super().__init__(suffix, index)
        self.call_id = call_id or f"call_{suffix}_{index}"
        self.name = name

    def as_json(self, status: str) -> dict[str, Any]:
        fields = {"arguments": self.text, "call_id": self.call_id, "name": self.name}
        return {"id": self.id, "type": "function_call", "status": status, **fields}

    def open(self) -> Iterator[Event]:
        return iter(())

    def grow(self, text: str, logprobs: list[Any]) -> Iterator[Event]:
        self._texts.append(text)
        yield "response.function_call_arguments.delta", self.at(delta=text)

    def close(self) -> Iterator[Event]:
        yield "response.function_call_arguments.done", self.at(name=self.name, arguments=self.text)
