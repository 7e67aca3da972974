"""ASGI applications that each do a bit more of what the gateway does: what `layers.py` compares.

Each takes the request's body and answers with the upstream's fixed completion. The upstream's port is
in the environment.
"""

import os
from typing import Any

from litestar import Litestar, Request, Response, post
from litestar.handlers import asgi

from gateway.backends.http1 import Pool
from harness.nginx import COMPLETION

BODY = COMPLETION.encode()
HEAD = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
PATH = "/v1/chat/completions"
UPSTREAM = "LAYERS_UPSTREAM"


async def _whole(receive: Any) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


async def _fixed(scope: Any, receive: Any, send: Any) -> None:
    await _whole(receive)
    await send({"type": "http.response.start", "status": 200, "headers": HEAD})
    await send({"type": "http.response.body", "body": BODY, "more_body": False})


def raw() -> Any:
    """granian and nothing else."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await _fixed(scope, receive, send)

    return application


def litestar_handler() -> Any:
    """An ordinary Litestar handler, for comparison: the gateway's hot routes are not such."""

    @post(PATH, status_code=200)
    async def answer(request: Request[Any, Any, Any]) -> Response[bytes]:
        await request.body()
        return Response(BODY, media_type="application/json")

    return Litestar([answer], openapi_config=None, logging_config=None)


def litestar_asgi() -> Any:
    """Litestar's router before a plain ASGI handler: what the gateway's hot routes are."""
    return Litestar([asgi(PATH, copy_scope=False)(_fixed)], openapi_config=None, logging_config=None)


def calling() -> Any:
    """The same, and the call to the upstream with the gateway's own HTTP client."""
    pools: list[Pool] = []

    async def through(scope: Any, receive: Any, send: Any) -> None:
        body = await _whole(receive)
        if not pools:
            pools.append(_pool())
        answer = await pools[0].post(PATH.encode(), body, ())
        got = await answer.whole()
        head = [(b"content-type", b"application/json"), (b"content-length", str(len(got)).encode())]
        await send({"type": "http.response.start", "status": answer.status, "headers": head})
        await send({"type": "http.response.body", "body": got, "more_body": False})

    return Litestar([asgi(PATH, copy_scope=False)(through)], openapi_config=None, logging_config=None)


def _pool() -> Pool:
    return Pool(
        "127.0.0.1",
        int(os.environ[UPSTREAM]),
        tls=None,
        headers=[(b"content-type", b"application/json")],
        connect_timeout_s=5,
        idle_timeout_s=60,
        limit=1000,
    )
