"""Shared by handlers: the gateway and the caller's key as parameters, JSON answers, refusals."""

from typing import Any

import msgspec
from litestar import Request, Response
from litestar.di import NamedDependency
from litestar.params import FromPath, SkipValidation

from gateway.assembly import Gateway
from gateway.context.ingest.background_ingest import BackgroundIngest
from gateway.errors import KeyNotAllowed, NotFound
from gateway.exchange import ClientKey

Shared = NamedDependency[SkipValidation[Gateway]]
Caller = NamedDependency[SkipValidation[ClientKey]]
PathText = FromPath[str]
AnyRequest = Request[Any, Any, Any]


def json_bytes(body: bytes, status: int = 200) -> Response[bytes]:
    """An answer whose JSON is encoded already."""
    return Response(body, status_code=status, media_type="application/json")


def json_of(value: object, status: int = 200) -> Response[bytes]:
    """An answer from anything that msgspec encodes."""
    return json_bytes(msgspec.json.encode(value), status)


def admin_only(key: ClientKey, what: str) -> None:
    """`what` completes the sentence "Only a key with admin = true may ...". Raises `KeyNotAllowed`."""
    if not key.admin:
        raise KeyNotAllowed(f"Only a key with admin = true may {what}.")


def intake_of(gateway: Gateway) -> BackgroundIngest:
    """Raises `NotFound` where the configuration has no collections."""
    if gateway.intake is None:
        raise NotFound("This gateway keeps no collections: its configuration has no [store] and [embedder].")
    return gateway.intake
