"""What a client is told where an upstream's answer has no end, is lost, or has to wait; and which headers it sees."""

import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from gateway.ask import Ask, Endpoint
from gateway.backends.call import Caller
from gateway.backends.remote import Remote
from gateway.backends.remote_settings import RemoteSettings
from gateway.backends.reply_headers import passed_back
from gateway.errors import RequestError
from gateway.exchange import Exchange, Target
from gateway.ports import Reply
from gateway.state.memory import MemoryState
from tests.doubles.raw_server import RawConnection, RawServer

EXCHANGE = Exchange("x", Ask(Endpoint.CHAT, "m", b'{"model":"m","messages":[]}'), route=(Target("up", "m"),))
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
FIRST = b"%x\r\n%b\r\n" % (len(CHUNK), CHUNK)
BLOCK = b"10000\r\n" + b"x" * 65536 + b"\r\n"


def endless(head: bytes) -> Callable[[RawConnection, int], None]:
    def send(connection: RawConnection, number: int) -> None:
        connection.request()
        connection.send(head)
        while True:
            connection.send(BLOCK)

    return send


class Rig:
    """A remote backend of its own for each server."""

    def __init__(self) -> None:
        self.opened: list[Remote] = []

    async def remote(self, server: RawServer, **settings: Any) -> Remote:
        url = f"http://127.0.0.1:{server.port}/v1"
        remote = Remote("up", RemoteSettings(base_url=url, models=("m",), **settings))
        await remote.open()
        self.opened.append(remote)
        return remote


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    yield made
    for remote in made.opened:
        await remote.aclose()


async def read(reply: Reply) -> int:
    assert reply.pieces is not None
    size = 0
    async for piece in reply.pieces:
        size += len(piece)
    return size


async def test_a_whole_answer_beyond_its_limit_is_an_error_that_names_the_setting(rig: Rig) -> None:
    with RawServer(endless(JSON)) as server:
        remote = await rig.remote(server, max_answer_mb=1)
        with pytest.raises(RequestError, match="more than 1 MB, its max_answer_mb") as refused:
            await remote.send(EXCHANGE, "m", ())
    assert (refused.value.status, refused.value.code, refused.value.taken) == (502, "answer_too_large", True)


async def test_a_line_without_end_breaks_its_stream_off_at_the_limit(rig: Rig) -> None:
    with RawServer(endless(EVENTS + FIRST)) as server:
        reply = await (await rig.remote(server, max_answer_mb=1)).send(EXCHANGE, "m", ())
        with pytest.raises(RequestError, match="max_answer_mb"):
            await read(reply)


async def test_a_stream_that_takes_too_long_is_broken_off_with_the_settings_name(rig: Rig) -> None:
    def drip(connection: RawConnection, number: int) -> None:
        connection.request()
        connection.send(EVENTS + FIRST)
        connection.request()

    with RawServer(drip) as server:
        reply = await (await rig.remote(server, total_timeout_s=0.2)).send(EXCHANGE, "m", ())
        with pytest.raises(RequestError, match="total_timeout_s") as late:
            await read(reply)
    assert late.value.status == 504


async def test_a_client_hears_that_a_lost_request_was_not_sent_again(rig: Rig) -> None:
    requests = []

    def close(connection: RawConnection, number: int) -> None:
        requests.append(connection.request())

    with RawServer(close) as server:
        call = Caller({"up": await rig.remote(server)}, MemoryState())
        with pytest.raises(RequestError, match="It may have done the work, so it is not asked again") as lost:
            await call.call(EXCHANGE, ())
    assert (lost.value.status, lost.value.code, len(requests)) == (502, "answer_lost", 1)


async def test_a_head_beyond_its_limit_is_named_as_the_cause(rig: Rig) -> None:
    def send(connection: RawConnection, number: int) -> None:
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000)
        connection.request()

    with RawServer(send) as server:
        remote = await rig.remote(server)
        with pytest.raises(RequestError, match="its head is larger than 64 kB"):
            await remote.send(EXCHANGE, "m", ())


async def test_a_request_that_finds_all_connections_in_use_is_told_when_to_come_again(rig: Rig) -> None:
    with RawServer(endless(EVENTS + FIRST)) as server:
        remote = await rig.remote(server, max_connections=1, connect_timeout_s=0.1)
        reply = await remote.send(EXCHANGE, "m", ())
        with pytest.raises(RequestError, match="All 1 connections to the backend 'up' are in use") as busy:
            await remote.send(EXCHANGE, "m", ())
        await reply.aclose()
    assert (busy.value.status, busy.value.code, busy.value.retry_after_s) == (503, "backend_busy", 1.0)


def test_headers_that_speak_in_the_gateways_name_do_not_pass() -> None:
    kept = ((b"content-type", b"application/json"), (b"x-request-id", b"1"), (b"x-ratelimit-remaining-tokens", b"2"))
    foreign = [
        b"x-foreword-id",
        b"x-foreword-backend",
        b"www-authenticate",
        b"access-control-allow-origin",
        b"set-cookie",
        b"content-security-policy",
        b"clear-site-data",
        b"x-accel-redirect",
    ]
    assert passed_back([*kept, *[(name, b"evil") for name in foreign]]) == kept


async def test_a_server_that_refuses_is_told_with_the_reason_and_logged_with_its_address(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("foreword"), "propagate", True)
    with RawServer(endless(JSON)) as server:
        remote = await rig.remote(server)
    with pytest.raises(RequestError, match="cannot be reached: the connection was refused") as refused:
        await remote.send(EXCHANGE, "m", ())

    assert "127.0.0.1" not in refused.value.message
    assert f"cannot be reached at 127.0.0.1:{server.port}: " in caplog.text
