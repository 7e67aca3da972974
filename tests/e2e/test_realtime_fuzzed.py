"""Clients and backends that do anything at all on a WebSocket: the gateway stays up, ends both sides, and records."""

import asyncio
import base64
import contextlib
import hashlib
import os
import random
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.doubles.process import GatewayProcess, running

CONFIG = """
[data]
folder = "data"
[records]
drain_s = 0.1
[prompt]
mode = "off"
[server]
max_body_mb = 1
drain_s = 0.3
[backends.up]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
api_key = "sk-of-the-backend"
models = ["gpt-realtime"]
connect_timeout_s = 1
idle_timeout_s = 1
[backends.down]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"
models = ["down"]
[keys.mine]
secret = "sk-mine-123"
admin = true
[keys.few]
secret = "sk-few-123"
models = ["gpt-realtime"]
[keys.two]
secret = "sk-two-123"
websockets = 2
"""
ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
OTHER_PATHS = ("/v1/realtime?model=down", "/v1/realtime", "/v1/responses", "/x")
ODD_LINES = (
    'sec-websocket-protocol: a b, ,,"',
    'sec-websocket-extensions: permessage-deflate; x="',
    "origin: http://evil.example",
)
OPENING = {"sec-websocket-version": "13", "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA=="}
STATUSES = {0, 101, 400, 401, 403, 404, 405, 426, 429, 502, 503, 504}
"""The answers to a handshake. The backend, whose refusals are passed back, never says 500."""
ENDS_S = 20.0
"""The time within which a connection must end after the other side did. The closing handshake may take 5 s."""
TEXTS = (
    b'{"type":"response.create"}',
    b'{"type":"session.update","session":{"model":"gpt-4o","tools":[{"vector_store_ids":["vs_1"]}]}}',
    b'{"type":"response.done","response":{"usage":{"input_tokens":-1,"output_tokens":"x"}}}',
    b'{"model":"\\u0067pt","model":[1,{}]}',
    b"\xff\xfe{\x00}",
    b"\xed\xa0\x80",
    b"\xc3",
    b"[" * 100_000,
    b"",
)


def frame(rng: random.Random, *, masked: bool) -> bytes:
    """Return one frame: most are valid, and any part of it may be wrong."""
    opcode = rng.choice((1, 1, 1, 2, 2, 0, 8, 9, 10, rng.randrange(16)))
    payload = rng.choice(TEXTS)
    if rng.random() < 0.3:
        payload = rng.randbytes(rng.choice((0, 1, 3, 125, 126, 70_000, 1_200_000)))
    if opcode == 8 and rng.random() < 0.7:
        code = rng.choice((0, 999, 1000, 1001, 1005, 1006, 1011, 3000, 4999, 65535))
        payload = struct.pack("!H", code) + rng.choice((b"", b"bye", b"\xff\xff", b"x" * 130))
    first = opcode | (0 if rng.random() < 0.15 else 0x80)
    first |= rng.choice((0x10, 0x20, 0x40)) if rng.random() < 0.08 else 0
    is_masked = masked if rng.random() < 0.95 else not masked
    size = len(payload) if rng.random() < 0.95 else rng.choice((0, 1, 2**31, 2**63 - 1, 2**64 - 1))
    bit = 0x80 if is_masked else 0
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 2**16:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    if not is_masked:
        return head + payload
    mask = rng.randbytes(4)
    whole = (mask * (len(payload) // 4 + 1))[: len(payload)]
    hidden = int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")
    return head + mask + hidden.to_bytes(len(payload), "big")


async def act(rng: random.Random, writer: asyncio.StreamWriter, *, masked: bool) -> None:
    """Write some frames, perhaps cut anywhere, and then close, abort, or fall silent for the other side to end."""
    with contextlib.suppress(OSError):
        for _ in range(rng.randrange(5)):
            data = frame(rng, masked=masked)
            if rng.random() < 0.2:
                data = data[: rng.randrange(len(data) + 1)]
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(rng.choice((0, 0, 0.01)))
        ending = rng.choice(("close", "abort", "half", "frame"))
        if ending == "frame":
            writer.write(struct.pack("!BB", 0x88, 0x80 if masked else 0) + (b"\0\0\0\0" if masked else b""))
            await writer.drain()
            await asyncio.sleep(0.2)
            writer.write_eof()  # the frame may have become a part of one that was cut
        elif ending == "half" and writer.can_write_eof():
            writer.write_eof()
        elif ending == "abort":
            writer.transport.abort()
        else:
            writer.close()


class WildBackend:
    """A server that answers a handshake rightly, wrongly or not at all, and then does as `act` says."""

    def __init__(self) -> None:
        self.open = 0
        self.seen = 0
        self.lingering: list[str] = []
        """Connections that the gateway did not close in time."""
        self.rng = random.Random(0)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        rng = random.Random(self.rng.random())
        self.open += 1
        self.seen += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(self._answer(rng, head))
            await act(rng, writer, masked=False)
            async with asyncio.timeout(ENDS_S):
                while await reader.read(65536):
                    pass
        except TimeoutError:
            self.lingering.append("a connection to the backend")
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()

    def _answer(self, rng: random.Random, head: bytes) -> bytes:
        lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        key = next(value for name, value in lines.items() if name.lower() == b"sec-websocket-key")
        accept = base64.b64encode(hashlib.sha1(key + ACCEPT).digest())
        right = b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: %b\r\n"
        kind = rng.random()
        if kind < 0.75:
            return right % accept + b"\r\n"
        if kind < 0.8:
            return right % accept + b"sec-websocket-protocol: never-offered\r\n\r\n"
        if kind < 0.85:
            return right % b"d3Jvbmc=" + b"\r\n"
        if kind < 0.9:
            return b"HTTP/1.1 %d No\r\ncontent-length: 2\r\n\r\nno" % rng.choice(
                (301, 400, 401, 404, 429, 502, 503, 200)
            )
        return rng.choice((b"", rng.randbytes(300), b"HTTP/1.1 101\r\n\r\n", right % accept))


def handshake(rng: random.Random) -> tuple[bytes, str, str]:
    """Return a handshake, the key's secret, and the path."""
    path = rng.choice((*["/v1/realtime?model=gpt-realtime"] * 6, *OTHER_PATHS))
    secret = rng.choice(("mine", "mine", "mine", "few", "few", "two", "unknown", ""))
    lines = [f"GET {path} HTTP/1.1", "host: gateway", "upgrade: websocket", "connection: upgrade"]
    key = base64.b64encode(rng.randbytes(16)).decode() if rng.random() < 0.95 else rng.choice(("", "short", "\xff"))
    lines += [f"sec-websocket-key: {key}", f"sec-websocket-version: {13 if rng.random() < 0.95 else 8}"]
    if secret and rng.random() < 0.8:
        lines.append(f"authorization: Bearer sk-{secret}-123")
    elif secret:
        lines.append(f"sec-websocket-protocol: realtime, openai-insecure-api-key.sk-{secret}-123")
    if rng.random() < 0.1:
        lines.append(rng.choice(ODD_LINES))
    if rng.random() < 0.05:
        del lines[rng.randrange(1, len(lines))]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), f"sk-{secret}-123", path


class Session:
    """What one client saw. `status` is 0 if the connection ended without an answer."""

    def __init__(self) -> None:
        self.status = 0
        self.id = self.secret = ""
        """The id of the record, "" for none, and the secret of its key."""
        self.lingers = False


async def session(port: int, seed: int) -> Session:
    rng, seen = random.Random(seed), Session()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request, seen.secret, path = handshake(rng)
    try:
        if rng.random() < 0.05:
            writer.write(request[: rng.randrange(len(request))])
            writer.close()
            return seen
        writer.write(request)
        async with asyncio.timeout(ENDS_S):
            head = await reader.readuntil(b"\r\n\r\n")
        seen.status = int(head.split(b" ", 2)[1])
        names = [line.split(b": ", 1) for line in head.split(b"\r\n") if line.startswith(b"x-foreword-id: ")]
        if seen.status == 101 and path != "/v1/responses":  # whose answers are recorded, not the socket
            seen.id = names[0][1].decode()
        if seen.status == 101:
            await act(rng, writer, masked=True)
            if rng.random() < 0.5:
                return seen
            # the backend always ends, and so must the client's connection
            async with asyncio.timeout(2 * ENDS_S):
                while await reader.read(65536):
                    pass
    except TimeoutError:
        seen.lingers = True
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()
    return seen


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzzed")


@pytest.fixture
def backend() -> Iterator[WildBackend]:
    yield WildBackend()


async def fuzzed(folder: Path, backend: WildBackend, seeds: range, at_once: int) -> None:
    server = await asyncio.start_server(backend, "127.0.0.1", 0, limit=2**21)
    port = int(server.sockets[0].getsockname()[1])
    backend.rng = random.Random(seeds.start)
    gateway_context = running(folder, CONFIG.format(port=port))
    gateway: GatewayProcess = await asyncio.to_thread(gateway_context.__enter__)
    try:
        places = asyncio.Semaphore(at_once)

        async def one(seed: int) -> Session:
            async with places:
                return await session(gateway.port, seed)

        sessions = await asyncio.gather(*[one(seed) for seed in seeds])
        await asyncio.to_thread(check, gateway, backend, sessions, seeds)
    finally:
        await asyncio.to_thread(gateway_context.__exit__, None, None, None)
        server.close()
        await server.wait_closed()


def check(gateway: GatewayProcess, backend: WildBackend, sessions: list[Session], seeds: range) -> None:
    log = gateway.log.read_text("utf-8", "replace")
    for sign in ("the gateway itself failed", "a request failed", "Traceback"):
        assert sign not in log, log[log.index(sign) - 500 :][:5000]
    assert [seed for seed, seen in zip(seeds, sessions, strict=True) if seen.lingers] == []
    assert {seen.status for seen in sessions} - STATUSES == set()
    opened = [seen for seen in sessions if seen.status == 101]
    assert min(len(opened), backend.seen) > len(sessions) // 5  # else the fuzz reaches nothing
    within(lambda: backend.open == 0)
    assert backend.lingering == []
    with httpx.Client(base_url=gateway.url, trust_env=False, timeout=20) as client:

        def get(path: str, secret: str) -> httpx.Response:
            return client.get(path, headers={"authorization": f"Bearer {secret}"})

        within(lambda: "\nforeword_requests_in_flight 0" in get("/metrics", "sk-mine-123").text)
        assert client.get("/health/ready").status_code == 200
        for seen in opened:
            if seen.id:
                within(lambda seen=seen: get(f"/v1/foreword/exchanges/{seen.id}", seen.secret).status_code == 200)
        # the places of the key are free again
        upgrade = {"upgrade": "websocket", "connection": "upgrade", "authorization": "Bearer sk-two-123"}
        wrong = client.get("/v1/realtime?model=down", headers={**upgrade, **OPENING})
        assert wrong.status_code == 502


def within(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + ENDS_S
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.02)


async def test_no_client_and_no_backend_brings_the_gateway_down(folder: Path, backend: WildBackend) -> None:
    await fuzzed(folder, backend, range(1000, 1080), at_once=8)


@pytest.mark.long
async def test_nor_do_thousands_of_them(folder: Path, backend: WildBackend) -> None:
    first = int(os.environ.get("FOREWORD_SEED", "10000"))
    await fuzzed(folder, backend, range(first, first + 3000), at_once=16)
