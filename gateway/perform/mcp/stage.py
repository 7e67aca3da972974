"""The stage for tools of MCP servers. It finds the servers that a request may use, and lists their tools.

The servers must be registered in the configuration, since the gateway connects to no address that a client names. If
the backend runs hosted tools itself, a server that is unknown here may be the backend's.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from gateway.ask import Endpoint
from gateway.backends.responses import as_chat
from gateway.errors import BadRequest, ToolServerFailed
from gateway.exchange import Exchange, Target
from gateway.mcp.servers import McpServers
from gateway.mcp.session import McpUnavailable
from gateway.mcp_offer import McpOffer, McpRequest, McpTool, OfferedMcpTool
from gateway.settings.mcp import McpServer
from gateway.wire.json_fields import missing
from gateway.wire.responses.mcp import function_name, own_functions


class McpStage:
    """The stage `mcp`. `hosts` tells whether a target runs hosted tools itself."""

    name = "mcp"

    def __init__(self, servers: McpServers, hosts: Callable[[Target, Endpoint], bool]) -> None:
        self._servers = servers
        self._hosts = hosts

    async def __call__(self, exchange: Exchange) -> Exchange:
        ask = exchange.ask
        # only `/v1/responses` can show calls for which the client did not ask
        offers = ask.endpoint is Endpoint.RESPONSES and self._servers.settings.servers
        if not ask.mcp and not offers:
            return exchange
        allowed = self._servers.allowed(exchange.key)
        found = [(request, _server_of(request, allowed)) for request in ask.mcp]
        if ask.mcp and not any(name for _, name in found) and self._hosts(exchange.route[0], ask.endpoint):
            return exchange.noted(self.name, "passed on", "none of the MCP servers is registered here")
        named = {request.label: (request, _checked(request, name, allowed)) for request, name in found}
        if len(named) < len(ask.mcp):
            field = ask.mcp[0].field
            raise BadRequest(f"Invalid '{field}': two MCP servers have the same name.", param=field)
        if ask.endpoint is Endpoint.CHAT and ask.choices > 1:
            raise BadRequest(
                "Invalid 'n': with MCP servers, a request has one answer.", param="n", code="invalid_value"
            )
        always = [name for name, server in allowed.items() if server.offer == "always" and name not in named]
        always = always if offers else []
        if not named and not always:
            return exchange
        if not named and not _is_translatable(exchange):
            return exchange.noted(self.name, "not offered", "only the backend itself can answer this request")
        wanted = {**named, **{name: (None, name) for name in always}}
        offer = await self._offer(exchange, wanted, allowed)
        if offer.failures and named.keys() & offer.failures.keys():
            label = next(label for label in offer.failures if label in named)
            place = named[label][0].where()
            raise ToolServerFailed(
                f"The tools of the MCP server {label!r} cannot be listed: {offer.failures[label]}.", param=place
            )
        _check_approvals(exchange, offer, named)
        reason = f"{len(offer.tools)} tools of {len(offer.labels)} servers"
        data = {"servers": list(offer.labels), "tools": len(offer.tools)}
        return replace(exchange, mcp=offer).noted(self.name, "offered", reason, data)

    async def _offer(
        self,
        exchange: Exchange,
        wanted: Mapping[str, tuple[McpRequest | None, str]],
        allowed: Mapping[str, McpServer],
    ) -> McpOffer:
        """List the tools of the servers, all at the same time. `wanted` maps labels to requests and servers."""
        lists = await asyncio.gather(*[self._tools(server, exchange) for _, server in wanted.values()])
        taken = own_functions(exchange.ask.raw)
        tools: list[OfferedMcpTool] = []
        failures: dict[str, str] = {}
        for (label, (request, server)), listed in zip(wanted.items(), lists, strict=True):
            if isinstance(listed, str):
                failures[label] = listed
                continue
            forced = allowed[server].approval == "always"
            for tool in listed:
                if request is not None and not request.allows(tool):
                    continue
                function = _free_name(function_name(label, tool.name), taken)
                taken.add(function)
                asks = forced or (request is not None and request.asks_for(tool))
                tools.append(OfferedMcpTool(function, server, label, tool, asks))
        return McpOffer(tuple(tools), failures)

    async def _tools(self, server: str, exchange: Exchange) -> tuple[McpTool, ...] | str:
        """Return the tools of a server, or the reason why they cannot be listed."""
        try:
            return await self._servers.tools(server, exchange.key)
        except McpUnavailable as error:
            return str(error)


def _server_of(request: McpRequest, allowed: Mapping[str, McpServer]) -> str:
    """Return the name of the registered server that a request names by label or URL, or ""."""
    server = allowed.get(request.label)
    if server is not None and request.url in ("", server.url):
        return request.label
    urls = {server.url: name for name, server in allowed.items() if server.url}
    return urls.get(request.url, "") if request.url else ""


def _checked(request: McpRequest, name: str, allowed: Mapping[str, McpServer]) -> str:
    """Return the server's name. Raises `BadRequest` if there is none, or for a field that is not supported."""
    if not request.label:
        raise missing(request.where("server_label"))
    if not name:
        known = ", ".join(allowed) or "none"
        raise BadRequest(
            f"The MCP server {request.label!r} is not registered at this gateway. An operator registers servers in "
            f"[mcp.servers.NAME]; no other URL is connected to. Registered for this key: {known}.",
            param=request.where("server_url" if request.url else "server_label"),
            code="mcp_server_not_registered",
        )
    if request.unread:
        raise BadRequest(
            f"Unsupported parameter: '{request.where(request.unread)}'. The gateway's configuration has the "
            "credentials and settings of a registered MCP server; leave the field out.",
            param=request.where(request.unread),
            code="unsupported_parameter",
        )
    return name


def _check_approvals(exchange: Exchange, offer: McpOffer, named: Mapping[str, tuple[McpRequest | None, str]]) -> None:
    """Raise `BadRequest` if the client would have to approve calls, which only `/v1/responses` can ask for."""
    asking = next((each for each in offer.tools if each.needs_approval), None)
    if asking is None or exchange.ask.endpoint is Endpoint.RESPONSES:
        return
    request = named[asking.label][0]
    is_own = request is not None and request.asks_for(asking.tool)
    remedy = "Set it to 'never'" if is_own else "The configuration demands approvals for this server"
    raise BadRequest(
        f"Calls of {asking.label}.{asking.tool.name} need the client's approval, which this endpoint cannot ask for. "
        f"{remedy}, or use /v1/responses.",
        param=request.where("require_approval" if is_own else "server_label") if request is not None else None,
        code="approval_not_possible",
    )


def _is_translatable(exchange: Exchange) -> bool:
    """Whether the request can be sent as a chat completion, which the loop over tools needs."""
    try:
        as_chat(replace(exchange, mcp=McpOffer()), exchange.route[0].model)
    except BadRequest:
        return False
    return True


def _free_name(name: str, taken: set[str]) -> str:
    """Return the name, changed if another tool has it. A client's own function keeps its name."""
    while name in taken:
        name = f"{name[:54]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return name
