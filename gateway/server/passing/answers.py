"""Reads the answers of backends that store objects: notes new objects, and shortens lists to own objects."""

import re
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from msgspec import Raw

from gateway.ask import ClientKey
from gateway.errors import BackendFailed
from gateway.ports import PassedRequest, Reply
from gateway.records.object_owners import ObjectOwner, ObjectOwners
from gateway.server.passing.ownership import claim, own_entries, own_parts
from gateway.server.passing.paths import PathParts, parts_of
from gateway.wire.references import encoded, id_of, loose, page_of, with_entries

MOST_PAGES = 20
"""The most pages of a backend that are read for one page of own objects."""
PAGE = 20
LIMIT = re.compile("[0-9]{1,9}")
LONGEST_EVENT = 2**20


async def whole_of(reply: Reply, most: int) -> bytes:
    """Read the whole body. Raises `BackendFailed` for more than `most` bytes."""
    pieces, size = [], 0
    assert reply.pieces is not None
    async for piece in reply.pieces:
        pieces.append(piece)
        size += len(piece)
        if size > most:
            await reply.aclose()
            raise BackendFailed(
                f"The backend {reply.backend!r} sent an answer of more than {most // 2**20} MB.",
                code="answer_too_large",
            )
    return b"".join(pieces)


class StoredAnswers:
    """The answers to one request about stored objects."""

    def __init__(self, owners: ObjectOwners, key: ClientKey, parts: PathParts, most: int) -> None:
        """`most` is the size in bytes of the longest JSON answer."""
        self._owners = owners
        self._key = key
        self._parts = parts
        self._most = most

    async def read(self, reply: Reply, request: PassedRequest, send: Callable[[PassedRequest], Any]) -> Reply:
        """Return the reply for the client. `send` sends a further request to the same backend."""
        kind = next((value for name, value in reply.headers if name == b"content-type"), b"").lower()
        if reply.status >= 300 or reply.pieces is None:
            return reply
        if request.method == "POST":
            await self._claim_place(reply)
        if kind.startswith(b"text/event-stream"):
            reply.pieces = self._watched(reply, reply.pieces)
            return reply
        if b"json" not in kind:
            return reply
        body = await whole_of(reply, self._most)
        reply.pieces = None
        page = page_of(body) if request.method == "GET" and not self._parts.ids else None
        if page is not None and not self._key.admin:
            body = await self._own_page(body, page.data, bool(page.has_more), request, send)
        elif request.method == "GET" and not self._parts.ids and not self._key.admin:
            body = await self._own_parts(body, reply.backend)
        else:
            await claim(self._owners, self._key, reply.backend, self._parts, [loose(body)])
        reply.body = body
        reply.headers = tuple([header for header in reply.headers if header[0] != b"content-length"])
        return reply

    async def _claim_place(self, reply: Reply) -> None:
        """Claim the object that `location` names, such as a call, whose description is no JSON."""
        place = next((value for name, value in reply.headers if name == b"location"), b"").decode("latin-1")
        path = urlsplit(place).path
        ids = parts_of("/v1/" + path.partition("/v1/")[2]).ids if "/v1/" in path else ()
        if ids:
            await self._owners.claim(ids[-1:], ObjectOwner(self._key.name, reply.backend))

    async def _own_parts(self, body: bytes, backend: str) -> bytes:
        """Return an answer that is no list of OpenAI's form, without the objects of others."""
        if id_of(Raw(body)):  # one object, which may be anybody's
            return b"{}"
        answer = loose(body)
        if answer is None and body.strip() not in (b"", b"null"):
            raise BackendFailed(f"The backend {backend!r} sent a list that cannot be read.")
        return encoded(answer) if await own_parts(self._owners, self._key, answer) else body

    async def _own_page(
        self, body: bytes, entries: list[Raw], more: bool, request: PassedRequest, send: Callable[[PassedRequest], Any]
    ) -> bytes:
        """Return the list with the key's own objects. Further pages are read until the page is full."""
        path, _, query = request.target.decode("latin-1").partition("?")
        wishes = dict(parse_qsl(query, keep_blank_values=True))
        limit = int(wishes["limit"]) if LIMIT.fullmatch(wishes.get("limit", "")) else PAGE
        own = await own_entries(self._owners, self._key, entries)
        unchanged = len(own) == len(entries)
        for _ in range(MOST_PAGES - 1):
            if len(own) >= limit or not more or not entries or "before" in wishes:
                break
            wishes["after"] = id_of(entries[-1])
            target = f"{path}?{urlencode(wishes)}".encode("latin-1")
            reply = await send(PassedRequest("GET", target, request.headers))
            # an answer that is not a page is read too, since this frees its connection
            following = page_of(await whole_of(reply, self._most))
            if reply.status >= 300 or following is None:
                break
            entries, more, unchanged = following.data, bool(following.has_more), False
            own += await own_entries(self._owners, self._key, entries)
        return body if unchanged else with_entries(body, own[:limit], more=more or len(own) > limit)

    async def _watched(self, reply: Reply, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield a stream unchanged. Each object is claimed before the client sees its id."""
        rest = b""
        async for piece in pieces:
            lines = (rest + piece).split(b"\n")
            rest = lines.pop()[:LONGEST_EVENT]
            events = [loose(line[5:]) for line in lines if line.startswith(b"data:") and b"id" in line]
            await claim(self._owners, self._key, reply.backend, self._parts, [event for event in events if event])
            yield piece
