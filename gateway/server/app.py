"""The Litestar application: routes, error answers, lifespan."""

import os
from pathlib import Path

from litestar import Litestar
from litestar.handlers import asgi

from gateway.assembly import Gateway, assemble
from gateway.exchange import Endpoint
from gateway.server.access import Access
from gateway.server.answer import Answering
from gateway.settings import load
from gateway.wire import decode

CONFIG = "FOREWORD_CONFIG"


def create() -> Litestar:
    """The application of one worker process; the configuration's path is in the environment."""
    return application(assemble(load(Path(os.environ[CONFIG]))))


def application(gateway: Gateway) -> Litestar:
    access = Access(gateway.settings, gateway.state)
    answering = [
        asgi(f"/v1/{endpoint}", name=endpoint.value, copy_scope=False)(Answering(gateway, access, read).__call__)
        for endpoint, read in (
            (Endpoint.CHAT, decode.chat),
            (Endpoint.COMPLETION, decode.completion),
            (Endpoint.EMBEDDING, decode.embedding),
        )
    ]

    async def open_gateway() -> None:
        await gateway.open()

    async def close_gateway() -> None:
        await gateway.aclose()

    return Litestar(
        [*answering],
        on_startup=[open_gateway],
        on_shutdown=[close_gateway],
        openapi_config=None,
        logging_config=None,
    )
