"""Answers requests to `/v1/responses` and `/v1/messages`, most of them by translation to chat.

A request goes to a backend's own endpoint if it needs neither a technique nor a search by the gateway.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from gateway.ask import Endpoint
from gateway.backends import messages_over_chat
from gateway.backends.call import HANDED_OVER, is_repeatable, passed_of, with_passed, without_idempotency_key
from gateway.backends.calling.retry import is_failure
from gateway.backends.chat_over_messages import as_messages
from gateway.backends.responses import as_chat, as_response, speaks
from gateway.backends.sampling import accepted_by, within
from gateway.backends.translated import uncompressed
from gateway.context.fence import MarkOf, hashed_mark
from gateway.errors import BadRequest, RequestError
from gateway.exchange import Exchange
from gateway.mcp.servers import McpServers
from gateway.perform.mcp.inline import answer_inline
from gateway.perform.mcp.loop import answer_with_tools
from gateway.perform.own_prompt import split_route, with_own_prompt
from gateway.perform.performer import Performer
from gateway.perform.unchanged import REFUSALS, cause_of, may_go_unchanged, unchanged
from gateway.ports import Backend, Headers, Reply
from gateway.wire.chat import encode
from gateway.wire.json_fields import not_json
from gateway.wire.messages.losses import Losses

TRANSLATED = (Endpoint.RESPONSES, Endpoint.MESSAGES)


class Responder:
    """The performer that the server uses for all endpoints."""

    def __init__(
        self,
        perform: Performer,
        backends: Mapping[str, Backend],
        mark_of: MarkOf = hashed_mark,
        servers: McpServers | None = None,
    ) -> None:
        """`servers` are the MCP servers whose tools the gateway calls."""
        self._perform = perform
        self._backends = backends
        self._mark_of = mark_of
        self._servers = servers

    async def __call__(self, exchange: Exchange, headers: Headers) -> tuple[Exchange, Reply]:
        """Return the exchange with new calls and notes, and the reply. Raises the errors of `Caller.call`.

        If a changed request is refused with 400 or 422, the client's own request is sent instead.
        """
        try:
            return await self._over_the_route(exchange, headers)
        except RecursionError as error:
            raise _too_deep(error) from error

    async def _over_the_route(self, exchange: Exchange, headers: Headers) -> tuple[Exchange, Reply]:
        """Try the targets that get the changed prompt, and then those that get the client's own."""
        route, rest = split_route(exchange)
        if not rest:
            return await self._refused_once(exchange, headers)
        passed: tuple[str, ...] = ()
        if route:
            try:
                done, reply = await self._refused_once(replace(exchange, route=route, spare=True), headers)
            except HANDED_OVER as error:
                if error.taken and not is_repeatable(route[-1], headers):
                    raise
                passed = (*error.passed, f"{route[-1].backend}: {error.message}")
            else:
                if not is_failure(reply.status):
                    return replace(done, route=exchange.route, spare=False), reply
                passed = (*passed_of(reply), f"{reply.backend or route[-1].backend}: status {reply.status}")
                await reply.aclose()
        done, reply = await self._refused_once(with_own_prompt(exchange, rest, self._mark_of), headers)
        return done, with_passed(reply, passed)

    async def _refused_once(self, exchange: Exchange, headers: Headers) -> tuple[Exchange, Reply]:
        try:
            done, reply = await self._answer(exchange, headers)
        except RequestError as error:
            if error.status not in REFUSALS or not may_go_unchanged(exchange):
                raise
            own = unchanged(exchange, error.status, error.code or "")
        else:
            if reply.status not in REFUSALS or not may_go_unchanged(exchange):
                return done, reply
            own = unchanged(done, reply.status, cause_of(reply.body), reply.backend, reply.model)
        return await self._answer(own, without_idempotency_key(headers))

    async def _answer(self, exchange: Exchange, headers: Headers) -> tuple[Exchange, Reply]:
        endpoint = exchange.ask.endpoint
        if exchange.mcp is not None and self._servers is not None and endpoint is not Endpoint.RESPONSES:
            return await answer_inline(exchange, exchange.mcp, headers, self._answer, self._servers)
        if endpoint not in TRANSLATED or self._passes(exchange):
            return await self._perform(exchange, headers)
        if endpoint is Endpoint.MESSAGES:
            translated = self._as_chat(exchange)
            chat, reply = await self._perform(translated, messages_over_chat.chat_headers(headers))
            done = replace(exchange, calls=chat.calls, notes=chat.notes)
            return done, await messages_over_chat.as_message(exchange, reply)
        if exchange.mcp is not None and self._servers is not None:
            return await answer_with_tools(exchange, exchange.mcp, headers, self._perform, self._servers)
        chat, reply = await self._perform(as_chat(exchange, exchange.route[0].model), uncompressed(headers))
        return replace(exchange, calls=chat.calls, notes=chat.notes), await as_response(exchange, reply)

    def body(self, exchange: Exchange) -> bytes:
        """Build the body for the first target. Raises `BadRequest` for fields that cannot be translated."""
        try:
            return self._body(exchange)
        except RecursionError as error:
            raise _too_deep(error) from error

    def _body(self, exchange: Exchange) -> bytes:
        route, rest = split_route(exchange)
        if rest and not route:
            exchange = with_own_prompt(exchange, rest, self._mark_of)
        model = exchange.route[0].model
        exchange = within(exchange, accepted_by(self._backends[exchange.route[0].backend], model))
        if exchange.ask.endpoint in TRANSLATED and not self._passes(exchange):
            is_messages = exchange.ask.endpoint is Endpoint.MESSAGES
            exchange = self._as_chat(exchange) if is_messages else as_chat(exchange, model)
        backend = self._backends[exchange.route[0].backend]
        if exchange.ask.endpoint is Endpoint.CHAT and speaks(backend, model, Endpoint.MESSAGES):
            exchange = as_messages(exchange, model, backend, Losses())
        return encode.body(exchange, model)

    def _as_chat(self, exchange: Exchange) -> Exchange:
        """Translate a messages request for the first target. A later target gets the same chat request, from which
        `ChatOverMessages` removes what that target does not take.
        """
        first = exchange.route[0]
        extended = messages_over_chat.keeps_thinking(self._backends[first.backend], first.model)
        return messages_over_chat.as_chat(exchange, first.model, extended=extended)

    def _passes(self, exchange: Exchange) -> bool:
        first, procedure = exchange.route[0], exchange.procedure if exchange.changed else None
        if (
            exchange.mcp is not None
            or exchange.searched is not None
            or exchange.pieces is not None
            or exchange.composed
        ):
            return False
        if procedure is not None and (procedure.several or procedure.marker):
            return False
        return speaks(self._backends[first.backend], first.model, exchange.ask.endpoint)


def _too_deep(error: RecursionError) -> BadRequest:
    """Return the refusal of a body whose nesting the first decoding could follow, and a later one, which begins further
    down the stack, could not.
    """
    return not_json(error)
