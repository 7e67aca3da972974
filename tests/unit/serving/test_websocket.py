"""WebSockets on the worker's listener, by the client of the library `websockets`, and by raw bytes."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.errors import NoKey
from gateway.serving import websocket
from gateway.serving.limits import ClientLimits
from tests.doubles.listening import Place, listening

HANDSHAKE = (
    "connection: Upgrade",
    "upgrade: websocket",
    "sec-websocket-version: 13",
    "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Sends each message back, and ends as the client ends."""
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept", "subprotocol": next(iter(scope["subprotocols"]), None)})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "close":
            await send({"type": "websocket.close", "code": 4321, "reason": "as asked"})
        else:
            await send({**message, "type": "websocket.send"})
    ENDINGS.append((message["code"], message["reason"]))


async def refusing(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    raise NoKey("Who are you?")


async def hearing(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        HEARD.append(message["text"])


HEARD: list[str] = []
ENDINGS: list[tuple[int, str]] = []
LIMITS = ClientLimits()


def url(it: Place) -> str:
    return f"ws://127.0.0.1:{it.port}/v1/realtime?model=m"


@asynccontextmanager
async def place(application: Any, limits: ClientLimits = LIMITS) -> AsyncIterator[Place]:
    ENDINGS.clear()
    async with listening(application, limits) as it:
        yield it


async def test_messages_of_both_kinds_and_any_size_come_back() -> None:
    large = os.urandom(3_000_000)
    async with place(echo) as it, connect(url(it), max_size=None) as client:
        for message in ("", "häl\x00lo", b"", b"\xff", large, large.hex()):
            await client.send(message)
            assert await client.recv() == message
        await client.send(iter(["in ", "three ", "parts"]))
        assert await client.recv() == "in three parts"
        assert await (await client.ping()) >= 0


async def test_codes_and_reasons_pass_both_ways() -> None:
    async with place(echo) as it:
        async with connect(url(it)) as client:
            await client.close(4999, "so long")
        async with connect(url(it)) as client:
            await client.send("close")
            with pytest.raises(ConnectionClosed) as closed:
                await client.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4321, "as asked")
        await it.listener.finished()
    assert ENDINGS[0] == (4999, "so long")


async def test_the_first_subprotocol_is_chosen_and_compression_is_not() -> None:
    async with place(echo) as it, connect(url(it), subprotocols=["realtime", "other"]) as client:  # type: ignore[list-item]
        assert client.subprotocol == "realtime"
        assert client.protocol.extensions == []


async def test_a_refusal_has_a_status_and_openais_form() -> None:
    async with place(refusing) as it:
        with pytest.raises(InvalidStatus) as refused:
            await connect(url(it))
    assert refused.value.response.status_code == 401
    assert b'"invalid_api_key"' in refused.value.response.body


@pytest.mark.parametrize("missing", range(4))
async def test_an_incomplete_handshake_never_reaches_the_application(missing: int) -> None:
    lines = [line for number, line in enumerate(HANDSHAKE) if number != missing]
    async with place(echo) as it:
        answer = await it.say("\r\n".join(["GET / HTTP/1.1", "host: x", *lines, "connection: close", "", ""]).encode())
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 500"))  # without its upgrade, it is an ordinary request


@pytest.mark.parametrize(
    "frames",
    [b"\x81\x05hello", b"\x83\x80\0\0\0\0", b"\x80\x80\0\0\0\0", b"\xc1\x80\0\0\0\0", b"\x81\xff" + b"\xff" * 12],
    ids=["unmasked", "unknown kind", "continues nothing", "compressed", "endless"],
)
async def test_broken_frames_end_the_connection_with_a_code(frames: bytes) -> None:
    async with place(echo) as it:
        answer = await it.say("\r\n".join(["GET / HTTP/1.1", "host: x", *HANDSHAKE, "", ""]).encode() + frames)
        await it.listener.finished()
    assert answer.startswith(b"HTTP/1.1 101")
    last = answer.partition(b"\r\n\r\n")[2]
    assert last[0] == 0x88
    assert int.from_bytes(last[2:4], "big") in (1002, 1009)
    assert len(ENDINGS) == 1


async def test_text_that_is_not_utf8_ends_with_1007() -> None:
    async with place(echo) as it, connect(url(it)) as client:
        await client.send(b"\xff", text=True)
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1007


async def test_a_message_over_the_limit_ends_with_1009() -> None:
    async with place(echo, ClientLimits(message_bytes=1000)) as it, connect(url(it)) as client:
        await client.send(iter(["x" * 600, "x" * 600]))
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 1009


async def test_a_client_that_vanishes_is_noticed() -> None:
    async with place(echo) as it:
        client = await connect(url(it))
        client.transport.abort()
        await it.listener.finished()
    assert ENDINGS == [(1006, "")]


async def test_a_client_that_answers_no_ping_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "PING_S", 0.05)
    async with place(echo) as it:
        reader, writer = await it.connect()
        writer.write("\r\n".join(["GET / HTTP/1.1", "host: x", *HANDSHAKE, "", ""]).encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        assert await reader.read() == b"\x89\x00"  # one ping, then the end
        await it.listener.finished()
        writer.close()
    assert ENDINGS == [(1006, "")]


async def test_a_quiet_client_that_answers_pings_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "PING_S", 0.05)
    async with place(echo) as it, connect(url(it), ping_interval=None) as client:
        await asyncio.sleep(0.4)
        await client.send("still here")
        assert await client.recv() == "still here"


async def test_a_slow_application_holds_its_client_back() -> None:
    gate = asyncio.Event()
    sizes = []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await gate.wait()
        while (message := await receive())["type"] == "websocket.receive":
            sizes.append(len(message["bytes"]))

    async with place(slow) as it, connect(url(it), write_limit=1) as client:
        sent = 0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                while sent < 500:
                    await client.send(bytes(200_000))
                    sent += 1
        assert sent < 500
        gate.set()
        await client.close()
        await it.listener.finished()
    assert len(sizes) >= sent


async def test_every_cut_of_the_bytes_is_read_the_same() -> None:
    masked = bytes(byte ^ b"abcd"[place % 4] for place, byte in enumerate(b"hello"))
    raw = "\r\n".join(["GET / HTTP/1.1", "host: x", *HANDSHAKE, "", ""]).encode()
    raw += b"\x81\x85abcd" + masked + b"\x88\x80abcd"
    async with place(hearing) as it:
        for cut in range(1, len(raw)):
            reader, writer = await it.connect()
            writer.write(raw[:cut])
            await asyncio.sleep(0)
            writer.write(raw[cut:])
            answer = await reader.read()
            writer.close()
            assert answer.startswith(b"HTTP/1.1 101")
            assert answer.partition(b"\r\n\r\n")[2] == b"\x88\x00"
            await it.listener.finished()
            assert HEARD == ["hello"]
            HEARD.clear()
