"""Checks the messages that a client sends through a WebSocket, as the body of a request is checked."""

from gateway.ask import ClientKey, Endpoint
from gateway.assembly.gateway import Gateway
from gateway.backends.routing.routes import check_model
from gateway.errors import BadRequest
from gateway.server.passing.ownership import check_references, may_refer
from gateway.wire import references

NAMES = (b'"model"', b"\\u00", b"\xff\xfe", b"\xfe\xff")
"""Bytes of every message that may name a model. A letter can be escaped, and a server may read other encodings."""


class MessageCheck:
    """Checks the messages of one client."""

    def __init__(self, gateway: Gateway, key: ClientKey) -> None:
        self._gateway = gateway
        self._key = key
        self._is_free = key.admin and not key.models

    async def __call__(self, message: str | bytes) -> None:
        """Raise a `RequestError` if the message names a model or an object that the key may not use."""
        if self._is_free:
            return
        raw = message.encode() if isinstance(message, str) else message
        names = self._key.models and any(mark in raw for mark in NAMES)
        if not names and not may_refer(raw):
            return
        value = references.loose(raw)
        if value is None:
            raise BadRequest("The message is not valid JSON.", code="invalid_json")
        if self._key.models:
            for name in references.models(value):
                check_model(self._gateway.routes, self._key, name, Endpoint.OTHER)
        await check_references(self._gateway.objects, self._key, references.foreign_references(value))
