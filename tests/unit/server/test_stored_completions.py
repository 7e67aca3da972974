"""Stored completions are the backend's; a local model has none."""

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.ask import ClientKey
from gateway.errors import RequestError
from gateway.server.stored_completions import passed_on


async def test_a_list_of_what_a_local_model_does_not_store_says_to_use_post() -> None:
    routes = SimpleNamespace(targets=lambda *_: [SimpleNamespace(backend="local")])
    gateway: Any = SimpleNamespace(backends={"local": object()}, routes=routes)
    request: Any = SimpleNamespace(method="GET")

    with pytest.raises(RequestError, match="Method GET is not allowed here; use POST") as refused:
        await passed_on(request, gateway, ClientKey("ann", admin=True), "")

    assert refused.value.status == 405
