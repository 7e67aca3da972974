"""Shared parts of handlers: the gateway and the caller's key as parameters, JSON answers, refusals."""

from typing import Any

import msgspec
from litestar import Request, Response
from litestar.di import NamedDependency
from litestar.params import FromPath, SkipValidation

from gateway.ask import ClientKey
from gateway.assembly.gateway import Gateway
from gateway.context.ingest.background_ingest import BackgroundIngest
from gateway.errors import KeyNotAllowed, NotFound

Shared = NamedDependency[SkipValidation[Gateway]]
Caller = NamedDependency[SkipValidation[ClientKey]]
PathText = FromPath[str]
AnyRequest = Request[Any, Any, Any]


def json_bytes(body: bytes, status: int = 200) -> Response[bytes]:
    """Return an answer whose body is JSON that is already encoded."""
    return Response(body, status_code=status, media_type="application/json")


def json_of(value: object, status: int = 200) -> Response[bytes]:
    """Return an answer whose body is `value`, encoded as JSON by msgspec."""
    return json_bytes(msgspec.json.encode(value), status)


def admin_only(key: ClientKey, what: str) -> None:
    """Raise `KeyNotAllowed` unless the key has `admin`. `what` completes the error's sentence "Only a key with admin =
    true may ..."."""
    if not key.admin:
        raise KeyNotAllowed(f"Only a key with admin = true may {what}.")


def intake_of(gateway: Gateway) -> BackgroundIngest:
    """Return the gateway's collections with their background ingest. Raises `NotFound` if none are configured."""
    if gateway.intake is None:
        raise NotFound("This gateway keeps no collections: its configuration has no [store] and [embedder].")
    return gateway.intake
