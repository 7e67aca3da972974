"""Calls a backend without a server: exchanges from JSON fields, and the official client over a backend."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx

from gateway.ask import Ask, Endpoint
from gateway.errors import RequestError
from gateway.exchange import Exchange
from gateway.ports import Backend, Reply
from gateway.wire.chat import decode
from gateway.wire.errors import envelope, event
from gateway.wire.responses import request as responses

DECODE = {
    Endpoint.CHAT: decode.chat,
    Endpoint.COMPLETION: decode.completion,
    Endpoint.EMBEDDING: decode.embedding,
    Endpoint.RESPONSES: responses.ask,
}


def asked(endpoint: Endpoint, **fields: Any) -> Exchange:
    raw = json.dumps({"model": "small", **fields}).encode()
    return Exchange("ex-1", DECODE[endpoint](raw, {}))


async def body(reply: Reply) -> bytes:
    return reply.body if reply.pieces is None else b"".join([piece async for piece in reply.pieces])


class BackendTransport(httpx.AsyncBaseTransport):
    """A transport for the official client that calls a backend instead of a server."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            endpoint = Endpoint(request.url.path.removeprefix("/v1/"))
            ask: Ask = DECODE[endpoint](await request.aread(), {})
            reply = await self._backend.send(Exchange("ex-1", ask), ask.model, ())
        except RequestError as error:
            return httpx.Response(error.status, json=json.loads(envelope(error)))
        headers = list(reply.headers)
        if reply.pieces is None:
            return httpx.Response(reply.status, headers=headers, content=reply.body)
        return httpx.Response(reply.status, headers=headers, stream=_Stream(reply, reply.pieces))


class _Stream(httpx.AsyncByteStream):
    def __init__(self, reply: Reply, pieces: AsyncIterator[bytes]) -> None:
        self._reply = reply
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._pieces:
                yield piece
        except RequestError as error:
            yield event(error)

    async def aclose(self) -> None:
        await self._reply.aclose()
