"""Admits requests: checks keys by their hash, and counts requests against each key's limit.

Without configured keys, only requests from this machine are admitted.
"""

import base64
import hashlib
import hmac
import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from gateway.ask import ClientKey
from gateway.client_keys import digest_of
from gateway.errors import BadRequest, KeyNotAllowed, LimitReached, NoKey, RequestError
from gateway.ports import HotState
from gateway.server.cors import Cors
from gateway.settings.keys import AccessKey
from gateway.settings.server import is_loopback
from gateway.settings.tables import Settings

log = logging.getLogger("foreword.access")

OF_PROXIES = (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip", b"via")
CREDENTIALS = (b"authorization", b"x-api-key")
# without configured keys, every user of this machine has all rights
OWNER = ClientKey(name="local", admin=True)


def single_headers(scope: Any) -> dict[bytes, bytes]:
    """Return the headers by name. If a header occurs several times, its last value is returned.

    Raises `BadRequest` for two `Authorization` or two `x-api-key` headers, because a proxy may have checked only the
    first.
    """
    pairs = scope["headers"]
    headers: dict[bytes, bytes] = dict(pairs)
    if len(headers) != len(pairs):
        for name in CREDENTIALS:
            if sum(each == name for each, _ in pairs) > 1:
                text = f"The request has more than one {name.decode().title()} header; send only one."
                raise BadRequest(text, param=name.decode())
    return headers


class Access:
    """Admits a request or raises `NoKey`, `KeyNotAllowed` or `LimitReached`."""

    def __init__(self, settings: Settings, state: HotState) -> None:
        self._keys = {digest_of(key): _key(name, key) for name, key in settings.keys.items()}
        self._cors = Cors(settings.server.allowed_origins)
        self._state = state

    async def admit(self, headers: Mapping[bytes, bytes], *, page: bool = False) -> ClientKey:
        """Admit a request, and return its key. With `page`, the key may also be the password of HTTP basic
        authentication.

        Only pages accept a password, because browsers send a remembered password even if another web site caused the
        request.
        """
        if not self._keys:
            self._from_this_machine(headers)
            return OWNER
        key = self._find(headers, page)
        await self.count(key)
        return key

    def knows(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a request has a valid key. It is neither counted nor refused."""
        try:
            return not self._keys or bool(self._find(headers, False).name)
        except NoKey:
            return False

    def by_name(self, name: str) -> ClientKey | None:
        """Return the key with this name, or None. Without configured keys, only the owner of this machine exists."""
        if not self._keys:
            return OWNER if name == OWNER.name else None
        return next((key for key in self._keys.values() if key.name == name), None)

    async def count(self, key: ClientKey) -> None:
        """Count one request of the key. Raises `LimitReached`."""
        if key.requests_per_minute:
            await self._count(key)

    def admit_anyone(self, headers: Mapping[bytes, bytes]) -> None:
        """Admit a request to a route that needs no key. Without configured keys, the request must come from this
        machine."""
        if not self._keys:
            self._from_this_machine(headers)

    def _from_this_machine(self, headers: Mapping[bytes, bytes]) -> None:
        """Check that a request comes from this machine. This check is made only if no keys are configured.

        Raises `KeyNotAllowed` if the request came through a proxy, or if a web page could have made a browser send it
        (DNS rebinding, cross-site posts).
        """
        if not headers.keys().isdisjoint(OF_PROXIES):
            raise KeyNotAllowed(
                "This request came through a proxy, but this gateway has no keys: everyone who reaches the proxy would "
                "have all rights. Add a [keys.name] table (docs/behind-a-proxy.md)."
            )
        host = headers.get(b"host", b"")
        if not _is_local(host):
            raise KeyNotAllowed("This gateway has no keys, so it only answers to loopback names such as 127.0.0.1.")
        origin = headers.get(b"origin")
        if origin is None or self._cors.allows(origin):
            return
        if origin.lower().split(b"://")[-1] != host.lower():
            raise KeyNotAllowed("This gateway has no keys, so it refuses requests from web pages of other origins.")

    def _find(self, headers: Mapping[bytes, bytes], page: bool) -> ClientKey:
        # Anthropic's clients send `x-api-key`; some send a bearer token as well, which then counts
        secret = _secret(headers.get(b"authorization", b""), page).strip() or headers.get(b"x-api-key", b"").strip()
        if not secret and headers.get(b"authorization", b"").strip():
            raise NoKey(
                "The header Authorization has no bearer token. Write the word Bearer before the key: Authorization: "
                "Bearer YOUR_KEY."
            )
        if not secret:
            raise NoKey(
                "You didn't provide an API key. Send it as a header: Authorization: Bearer YOUR_KEY, or x-api-key: "
                "YOUR_KEY."
            )
        digest = hashlib.sha256(secret).hexdigest()
        for known, key in self._keys.items():
            if hmac.compare_digest(known, digest):
                return key
        raise NoKey("Incorrect API key provided. Ask the operator of this gateway for a key.")

    async def _count(self, key: ClientKey) -> None:
        try:
            wait_s = await self._state.hit(f"rate:{key.name}", key.requests_per_minute, 60.0)
        except RequestError:
            raise  # configured to fail closed
        except Exception as error:
            # the request is answered without enforcing the limit, and the failure is logged
            log.warning("the shared state cannot be reached: the limit of key %s is not enforced: %r", key.name, error)
            return
        if wait_s:
            raise LimitReached(
                f"Rate limit reached: this key may send {key.requests_per_minute} requests per minute. "
                f"Try again in {wait_s:.0f} s.",
                retry_after_s=wait_s,
            )


def presented_secret(headers: Mapping[bytes, bytes]) -> bytes:
    """Return the secret that a request presents, or b"" if it presents none."""
    return _secret(headers.get(b"authorization", b""), False).strip() or headers.get(b"x-api-key", b"").strip()


def _secret(authorization: bytes, page: bool) -> bytes:
    """Return the bearer token or, for a page, the password. Return an empty value if there is none."""
    scheme, _, given = authorization.partition(b" ")
    if not page or scheme.lower() != b"basic":
        return given if scheme.lower() == b"bearer" else b""
    try:
        return base64.b64decode(given, validate=True).partition(b":")[2]
    except ValueError:
        return b""


@lru_cache(maxsize=64)  # most requests have one of a few Host headers
def _is_local(given: bytes) -> bool:
    host = given.decode("latin-1").lower()
    return is_loopback(host.rsplit(":", 1)[0] if not host.endswith("]") else host)


def _key(name: str, key: AccessKey) -> ClientKey:
    return ClientKey(
        name=name,
        mode=key.mode,
        canary=key.canary,
        models=key.models,
        collections=key.collections,
        requests_per_minute=key.requests_per_minute,
        websockets=key.websockets,
        record=key.record,
        admin=key.admin,
    )
