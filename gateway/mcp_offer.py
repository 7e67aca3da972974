"""Values for OpenAI's tool `mcp`: the servers that a client names, and the tools that the model is offered."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct


class McpRequest(Struct, frozen=True):
    """An MCP server that a request names: a tool of type `mcp`, or an entry of Anthropic's `mcp_servers`.

    If `names` is None, all tools of the server are allowed. A call needs the client's approval if `asks_first` is true,
    unless the tool is in `exempt`, or only reads and `exempts_reading` is true. `unread` names a field that the gateway
    does not support, or is "". `field` is the list in the request that holds this entry, and `place` its index there.
    """

    label: str = ""
    url: str = ""
    names: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()
    only_reading: bool = False
    asks_first: bool = True
    exempt: tuple[str, ...] = ()
    exempts_reading: bool = False
    place: int = 0
    unread: str = ""
    field: str = "tools"

    def allows(self, tool: "McpTool") -> bool:
        is_named = (self.names is None or tool.name in self.names) and tool.name not in self.without
        return is_named and (tool.read_only or not self.only_reading)

    def where(self, member: str = "") -> str:
        """Return the name of this entry, or of a member of it, as OpenAI's tools name it."""
        if self.field != "tools":
            member = {"server_label": "name", "server_url": "url"}.get(member, member)
        return f"{self.field}[{self.place}]" + (f".{member}" if member else "")

    def asks_for(self, tool: "McpTool") -> bool:
        """Whether a call of the tool needs the client's approval."""
        is_exempt = tool.name in self.exempt or (self.exempts_reading and tool.read_only)
        return self.asks_first and not is_exempt


class McpTool(Struct, frozen=True):
    """A tool of a server. `schema` is the JSON schema of the arguments."""

    name: str
    description: str = ""
    schema: Mapping[str, Any] = {}
    read_only: bool = False


class OfferedMcpTool(Struct, frozen=True):
    """A tool that the model is offered. `function` is the name of the function that the model sees."""

    function: str
    server: str
    label: str
    tool: McpTool
    needs_approval: bool = False


class McpOffer(Struct, frozen=True):
    """The tools that a request may use, and for each label the error if its server could not list its tools."""

    tools: tuple[OfferedMcpTool, ...] = ()
    failures: Mapping[str, str] = {}

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*(each.label for each in self.tools), *self.failures]))

    def of(self, label: str) -> tuple[OfferedMcpTool, ...]:
        return tuple([each for each in self.tools if each.label == label])


class McpResult(Struct, frozen=True):
    """The result of a call: the text of the output, or an error. `error` is None if the call succeeded."""

    text: str = ""
    error: Mapping[str, Any] | None = None
    took_us: int = 0

    @property
    def said(self) -> str:
        """The text that the model gets."""
        if self.error is None:
            return self.text
        return f"The tool failed: {self.text or self.error.get('message', '')}"
