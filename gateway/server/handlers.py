"""What handlers share: the gateway and the caller's key as parameters, JSON answers, refusals."""

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
    """Return an answer from encoded JSON."""
    return Response(body, status_code=status, media_type="application/json")


def json_of(value: object, status: int = 200) -> Response[bytes]:
    """Return `value` as a JSON answer."""
    return json_bytes(msgspec.json.encode(value), status)


def admin_only(key: ClientKey, what: str) -> None:
    """Raise `KeyNotAllowed` unless the key has `admin`. `what` completes "Only a key with admin = true may ..."."""
    if not key.admin:
        raise KeyNotAllowed(f"Only a key with admin = true may {what}.")


def intake_of(gateway: Gateway) -> BackgroundIngest:
    """Return the gateway's background ingest, which also holds the collections. Raises `NotFound` without a store."""
    if gateway.intake is None:
        raise NotFound("This gateway has no collections: [store] or [embedder] is not configured.")
    return gateway.intake
