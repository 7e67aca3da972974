"""The tables `[mcp]` and `[mcp.servers.x]`: servers of the Model Context Protocol, whose tools models may use."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from gateway.settings.numbers import Count, Seconds


class McpServer(Struct, frozen=True, forbid_unknown_fields=True):
    """`[mcp.servers.name]`: an MCP server. The name is the server's label in requests."""

    url: str = ""
    """The server's URL, for a server that speaks HTTP."""
    transport: Literal["http", "sse"] = "http"
    """`http`: streamable HTTP. `sse`: the older transport over server-sent events."""
    command: str = ""
    """The program of a server that this gateway runs itself and talks to over stdin and stdout. It replaces `url`."""
    args: tuple[str, ...] = ()
    """The program's arguments."""
    env: dict[str, str] = field(default_factory=dict)
    """The program's environment variables. Of the gateway's own environment, the program gets only `PATH`, `HOME` and
    the like."""
    api_key: str = ""
    """The key, sent as `Authorization: Bearer ...`. `env:NAME` stands for the value of the environment variable
    `NAME`."""
    headers: dict[str, str] = field(default_factory=dict)
    """More headers for every request. `env:NAME` stands for the value of the environment variable `NAME`."""
    tools: tuple[str, ...] = ()
    """The tools that may be used. Default: all."""
    keys: tuple[str, ...] = ()
    """The names of the client keys that may use the server. Default: all."""
    offer: Literal["named", "always"] = "named"
    """`named`: the tools are offered to requests that name the server. `always`: to all requests to `/v1/responses`."""
    approval: Literal["client", "always"] = "client"
    """`client`: the request decides which calls need an approval. `always`: every call needs one."""
    sessions: Literal["key", "shared"] = "key"
    """`key`: each client key has a session of its own with the server, so that a server with memory cannot show one
    client's data to another. `shared`: all keys share one session."""
    connect_timeout_s: Seconds = 10.0
    """The longest wait for a session and for the list of tools."""
    timeout_s: Seconds = 60.0
    """The longest wait for the result of a call."""
    tools_ttl_s: Seconds = 300.0
    """How long a list of tools is used before it is fetched again."""
    max_output_kb: Count = 64
    """The largest output of a call. A longer output is cut."""


class Mcp(Struct, frozen=True, forbid_unknown_fields=True):
    """`[mcp]`: the limits of the tools of MCP servers, for each request."""

    max_rounds: Annotated[int, Meta(ge=1, le=50)] = 10
    """How many times the model may call tools. Then the model must answer without tools."""
    max_calls: Count = 32
    """The most calls of a request. Further calls fail."""
    timeout_s: Seconds = 300.0
    """The longest time for calling tools. Then the model must answer without tools."""
    servers: dict[str, McpServer] = field(default_factory=dict)
    """The servers, see `[mcp.servers.x]`."""
