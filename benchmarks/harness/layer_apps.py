"""ASGI applications that do increasing parts of the gateway's work, for `layers.py` and `streaming.py` to compare.

Each reads the request's body and answers with the upstream's fixed completion, or with a stream. The upstream's port is
in the environment.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from litestar import Litestar, Request, Response, post
from litestar.handlers import asgi

from gateway.backends.connection_pool import ConnectionPool
from gateway.backends.http1 import AnswerBounds
from harness.nginx import COMPLETION
from harness.processes import Process, free_port
from harness.upstream import EVENT

BODY = COMPLETION.encode()
HEAD = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
PATH = "/v1/chat/completions"
UPSTREAM = "LAYERS_UPSTREAM"
EVENT_STREAM = [(b"content-type", b"text/event-stream; charset=utf-8")]
SERVER = """
import asyncio, socket, sys
import uvloop
sys.path.insert(0, sys.argv[3])
from harness import layer_apps
from gateway.serving.limits import ClientLimits
from gateway.serving.listener import Listener

async def serve():
    listening = socket.create_server(("127.0.0.1", int(sys.argv[2])), backlog=1024)
    listening.setblocking(False)
    application = getattr(layer_apps, sys.argv[1])()
    Listener(application, ClientLimits(), asyncio.get_running_loop()).listen(listening)
    await asyncio.Event().wait()

uvloop.run(serve())
"""
GRANIAN = """
import sys
from granian.constants import Interfaces, Loops
from granian.log import LogLevels
from granian.server import Server
sys.path.insert(0, sys.argv[3])
Server(
    "harness.layer_apps:" + sys.argv[1], address="127.0.0.1", port=int(sys.argv[2]), interface=Interfaces.ASGI,
    loop=Loops.uvloop, workers=1, factory=True, websockets=False, log_level=LogLevels.warning,
).serve()
"""


def start(factory: str, folder: Path, upstream: int, server: str = SERVER) -> tuple[Process, int]:
    """Serve one of the applications below on a free port, as the gateway is served. `server` is the program to run."""
    folder.mkdir(parents=True)
    port, file, here = free_port(), folder / "serve.py", str(Path(__file__).resolve().parents[1])
    file.write_text(server, "utf-8")
    process = Process(
        [sys.executable, str(file), factory, str(port), here],
        folder / "log",
        {UPSTREAM: str(upstream), "PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])},
        Path(here),
    )
    process.wait_port(port)
    return process, port


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
    """The server and nothing else."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await _fixed(scope, receive, send)

    return application


def litestar_handler() -> Any:
    """An ordinary Litestar handler, for comparison. The gateway's hot routes do not use one."""

    @post(PATH, status_code=200)
    async def answer(request: Request[Any, Any, Any]) -> Response[bytes]:
        await request.body()
        return Response(BODY, media_type="application/json")

    return Litestar([answer], openapi_config=None, logging_config=None)


def litestar_asgi() -> Any:
    """Litestar's router in front of a plain ASGI handler."""
    return Litestar([asgi(PATH, copy_scope=False)(_fixed)], openapi_config=None, logging_config=None)


def calling() -> Any:
    """The same, plus a call to the upstream with the gateway's HTTP client."""
    pools: list[ConnectionPool] = []

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


def sending() -> Any:
    """A stream without an upstream, sent at the pace that the request asks for, like `upstream.py`."""

    async def paced(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        ask = json.loads(await _whole(receive))
        await send({"type": "http.response.start", "status": 200, "headers": EVENT_STREAM})
        began, every_s = time.monotonic(), ask["seed"] / 1e6
        for index in range(ask["max_tokens"]):
            await asyncio.sleep(max(0.0, began + index * every_s - time.monotonic()))
            event = EVENT % (f'{{"content":"{time.monotonic_ns()} "}}', "null")
            await send({"type": "http.response.body", "body": f"data: {event}\n\n".encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})

    return paced


def passing() -> Any:
    """A stream from the upstream through the gateway's HTTP client, without the rest of the gateway."""
    pools: list[ConnectionPool] = []

    async def through(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if not pools:
            pools.append(_pool())
        answer = await pools[0].post(PATH.encode(), await _whole(receive), ())
        await send({"type": "http.response.start", "status": answer.status, "headers": EVENT_STREAM})
        while piece := await answer.piece():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        answer.close()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return through


def _pool() -> ConnectionPool:
    return ConnectionPool(
        "127.0.0.1",
        int(os.environ[UPSTREAM]),
        tls=None,
        headers=[(b"content-type", b"application/json")],
        connect_timeout_s=5,
        bounds=AnswerBounds(idle_s=60, total_s=1800, most_bytes=1 << 26),
        limit=1000,
    )
