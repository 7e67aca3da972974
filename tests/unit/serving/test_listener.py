"""The worker's listener on real sockets: framing, timeouts, limits, and what is closed first."""

import asyncio
import json
import socket
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trustme

from gateway.serving.limits import ClientLimits
from tests.doubles.listening import Place, listening

QUICK = ClientLimits(head_s=0.3, idle_s=0.3, body_s=1.5, body_pause_s=0.3, write_s=0.4)
BIG = b"x" * (20 * 1024 * 1024)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what it was sent."""
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
    said = {"method": scope["method"], "path": scope["path"], "query": scope["query_string"].decode()}
    await _answer(send, json.dumps(said | {"body": body.decode()}).encode())


async def _answer(send: Any, body: bytes) -> None:
    head = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def big(scope: Any, receive: Any, send: Any) -> None:
    await _answer(send, BIG)


async def chunked(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for piece in (b"one", b"", b"two"):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def place(application: Any = echo, limits: ClientLimits = QUICK) -> AbstractAsyncContextManager[Place]:
    return listening(application, limits)


def post(body: bytes = b"hello", path: str = "/a?b=c", *headers: str) -> bytes:
    head = [f"POST {path} HTTP/1.1", "host: x", *headers]
    if not any(one.startswith(("content-length", "transfer-encoding")) for one in headers):
        head.append(f"content-length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode() + body


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


async def test_a_request_reaches_the_application_and_its_answer_the_client() -> None:
    async with place() as there:
        answer = await there.say(post(b"hello", "/a%20b?c=d", "connection: close"))

    head, _, body = answer.partition(b"\r\n\r\n")
    assert json.loads(body) == {"method": "POST", "path": "/a b", "query": "c=d", "body": "hello"}
    assert b"content-length: " + str(len(body)).encode() in head
    assert b"connection: close" in head
    assert b"date: " in head


@pytest.mark.parametrize("cut", range(1, 60, 7))
async def test_a_request_may_come_in_any_pieces(cut: int) -> None:
    whole = post(b"hello", "/a", "connection: close")
    async with place() as there:
        reader, writer = await there.connect()
        writer.write(whole[:cut])
        await asyncio.sleep(0.02)
        writer.write(whole[cut:])
        answer = await reader.read()
        writer.close()

    assert json.loads(answer.partition(b"\r\n\r\n")[2])["body"] == "hello"


async def test_requests_sent_at_once_are_answered_in_order() -> None:
    async with place() as there:
        answer = await there.say(post(b"one") + post(b"two") + post(b"three", "/", "connection: close"))

    assert [answer.count(word) for word in (b'"one"', b'"two"', b'"three"', b"HTTP/1.1 200")] == [1, 1, 1, 3]
    assert answer.index(b'"one"') < answer.index(b'"two"') < answer.index(b'"three"')


async def test_an_answer_without_a_length_is_chunked() -> None:
    async with place(chunked) as there:
        answer = await there.say(post(b"", "/", "connection: close"))
        old = await there.say(b"GET / HTTP/1.0\r\n\r\n")

    assert answer.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    assert old.endswith(b"\r\n\r\nonetwo")


async def test_the_answer_to_head_has_no_body() -> None:
    async with place(big) as there:
        answer = await there.say(b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")

    assert answer.endswith(b"\r\n\r\n")
    assert b"content-length: %d" % len(BIG) in answer


async def test_a_client_that_waits_to_be_told_is_told_to_go_on() -> None:
    async with place() as there:
        reader, writer = await there.connect()
        writer.write(post(b"", "/", "content-length: 5", "expect: 100-continue", "connection: close"))
        told = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"hello")
        answer = await reader.read()
        writer.close()

    assert told == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["body"] == "hello"


async def test_an_upgrade_that_is_not_offered_is_ignored() -> None:
    """As Java's client asks for HTTP/2 on its first request."""
    headers = ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAEAAEAAAAIAAAAA")
    async with place() as there:
        answer = await there.say(post(b"hello", "/", *headers))

    assert json.loads(answer.partition(b"\r\n\r\n")[2])["body"] == "hello"


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (post(b"hello", "/", "content-length: 5", "transfer-encoding: chunked"), 400),
        (post(b"hello", "/", "content-length: 5", "content-length: 6"), 400),
        (post(b"hello", "/", "content-length: +5"), 400),
        (post(b"hello", "/", "content-length: 18446744073709551616"), 400),
        (post(b"5\r\nhello\r\n0\r\n\r\n", "/", "transfer-encoding: xchunked"), 400),
        (post(b"5\r\nhello\r\n0\r\n\r\n", "/", "transfer-encoding: chunked", "transfer-encoding: identity"), 400),
        (post(b"", "/", "host: y"), 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\na: b\r\n c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\na: b\x00c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nhost: x\n\n", 400),
        (b"GET / HTTP/2.0\r\nhost: x\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"b" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"b" * 500_000, 431),
        (b"GET /" + b"b" * 500_000, 431),
    ],
)
async def test_what_is_no_proper_request_is_refused_and_closed(request_bytes: bytes, expected: int) -> None:
    async with place() as there:
        answer = await there.say(request_bytes)

    assert status(answer) == expected
    assert answer.count(b"HTTP/1.1 ") == 1
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["type"] == "invalid_request_error"


async def test_a_silent_connection_is_closed() -> None:
    async with place() as there:
        assert await there.say(b"") == b""


async def test_half_a_head_gets_a_408() -> None:
    async with place() as there:
        assert status(await there.say(b"POST / HTTP/1.1\r\nhost: x\r\nconte")) == 408


@pytest.mark.parametrize("pace_s", [10.0, 0.1])
async def test_a_body_that_does_not_come_gets_a_408(pace_s: float) -> None:
    """Neither a client that stops, nor one that sends a byte now and then for longer than a body may take."""
    async with place(echo) as there:
        reader, writer = await there.connect()
        writer.write(post(b"he", "/", "content-length: 5000"))

        async def drip() -> None:
            while True:
                await asyncio.sleep(pace_s)
                writer.write(b"l")

        dripping = asyncio.create_task(drip())
        began = asyncio.get_running_loop().time()
        head = await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)
        took_s = asyncio.get_running_loop().time() - began
        dripping.cancel()
        writer.close()

    assert status(head) == 408
    assert (took_s < 1.0) == (pace_s == 10.0)


async def test_a_client_that_does_not_read_is_cut_off() -> None:
    async with place(big) as there:
        _, writer = await there.connect()
        writer.transport.pause_reading()
        writer.write(post())
        await _until(lambda: there.listener.requests == 1)
        await _until(lambda: there.listener.requests == 0 and there.listener.connections == 0)
        writer.close()


async def test_a_client_that_reads_slowly_gets_all() -> None:
    async with place(big) as there:
        reader, writer = await asyncio.open_connection("127.0.0.1", there.port, limit=1 << 16)
        writer.write(post(b"", "/", "connection: close"))
        size = 0
        while piece := await reader.read(1 << 18):
            size += len(piece)
            await asyncio.sleep(0.01)
        writer.close()

    assert size > len(BIG)


async def test_at_the_limit_of_requests_a_new_one_gets_a_503_and_health_an_answer() -> None:
    block = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await block.wait()
        await _answer(send, b"there")

    async with place(slow, ClientLimits(requests=2)) as there:
        waiting = [asyncio.create_task(there.say(post(b"", "/slow", "connection: close"))) for _ in range(2)]
        await _until(lambda: there.listener.requests == 2)
        refused = await there.say(post(b"a body" * 1000))
        health = await there.say(b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        block.set()
        answers = await asyncio.gather(*waiting)

    assert status(refused) == 503
    assert b"\r\nretry-after: 1\r\n" in refused
    assert json.loads(refused.partition(b"\r\n\r\n")[2])["error"]["code"] == "server_busy"
    assert [status(health), *map(status, answers)] == [200, 200, 200]


async def test_where_connections_are_exhausted_the_longest_silent_one_is_closed_first() -> None:
    async with place(limits=ClientLimits(connections=3)) as there:
        silent = [await there.connect() for _ in range(3)]
        await _until(lambda: there.listener.connections == 3)
        silent[0][1].write(b"POST / HTTP/1.1\r\n")  # the second one is now the longest silent
        await asyncio.sleep(0.05)
        answer = await there.say(post(b"", "/", "connection: close"))
        closed = [reader.at_eof() for reader, _ in silent]
        for _, writer in silent:
            writer.close()

    assert status(answer) == 200
    assert closed == [False, True, False]


async def test_where_all_connections_are_at_work_a_new_one_waits() -> None:
    block = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await block.wait()
        await _answer(send, b"there")

    async with place(slow, ClientLimits(connections=2)) as there:
        asking = [asyncio.create_task(there.say(post(b"", "/", "connection: close"))) for _ in range(3)]
        await _until(lambda: there.listener.requests == 2)
        await asyncio.sleep(0.1)
        under_way = there.listener.requests
        block.set()
        answers = await asyncio.gather(*asking)

    assert under_way == 2
    assert [status(answer) for answer in answers] == [200, 200, 200]


async def test_an_answer_before_the_body_is_read_reaches_the_client() -> None:
    async def refusing(scope: Any, receive: Any, send: Any) -> None:
        await _answer(send, b"no")

    async with place(refusing) as there:
        answer = await there.say(post(b"x" * 3_000_000))

    assert answer.endswith(b"\r\n\r\nno")
    assert b"connection: close" in answer


async def test_an_application_that_fails_is_answered_for(caplog: pytest.LogCaptureFixture) -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/late":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("broken")

    async with place(failing) as there:
        early = await there.say(post())
        late = await there.say(post(b"", "/late"))

    assert status(early) == 500
    assert not late.endswith(b"0\r\n\r\n")


async def test_a_header_of_an_answer_cannot_start_another() -> None:
    async def splitting(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b\r\nset-cookie: c")]})
        await send({"type": "http.response.body", "body": b""})

    async with place(splitting) as there:
        answer = await there.say(post(b"", "/", "connection: close"))

    assert b"set-cookie" not in answer


async def test_leaving_is_told_to_the_application() -> None:
    left = asyncio.Event()

    async def waiting(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if (await receive())["type"] == "http.disconnect":
            left.set()

    async with place(waiting) as there:
        _, writer = await there.connect()
        writer.write(post())
        await _until(lambda: there.listener.requests == 1)
        writer.close()
        await asyncio.wait_for(left.wait(), 2)


async def test_draining_ends_what_rests_and_lets_the_rest_end() -> None:
    block = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await block.wait()
        await _answer(send, b"there")

    async with place(slow, ClientLimits()) as there:
        reader, writer = await there.connect()
        asking = asyncio.create_task(there.say(post()))
        await _until(lambda: there.listener.requests == 1)
        there.listener.drain()
        rested = await asyncio.wait_for(reader.read(), 1)
        with pytest.raises(ConnectionRefusedError):
            await there.connect()
        block.set()
        await asyncio.wait_for(there.listener.finished(), 1)
        answer = await asking
        writer.close()

    assert rested == b""
    assert status(answer) == 200
    assert b"connection: close" in answer


async def _until(condition: Callable[[], bool], limit_s: float = 5.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.01)


async def test_a_client_that_was_not_told_of_the_end_may_send_one_more_request() -> None:
    """The head of a stream is sent before the listener drains, so the client believes that the connection stays."""
    block = asyncio.Event()

    async def streams(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await block.wait()
        await send({"type": "http.response.body", "body": b"two", "more_body": False})

    async with place(streams, ClientLimits()) as there:
        reader, writer = await there.connect()
        writer.write(post())
        first = await reader.readuntil(b"one\r\n")
        there.listener.drain(0.3)
        block.set()
        await reader.readuntil(b"0\r\n\r\n")
        await asyncio.sleep(0.1)
        writer.write(post())
        second = await asyncio.wait_for(reader.read(), 5)
        await asyncio.wait_for(there.listener.finished(), 5)
        writer.close()

    assert b"connection: close" not in first
    assert status(second) == 200
    assert b"connection: close" in second


async def test_a_connection_that_rests_while_the_listener_drains_is_closed_after_its_time() -> None:
    async with place(echo, ClientLimits()) as there:
        reader, writer = await there.connect()
        began = asyncio.get_running_loop().time()
        there.listener.drain(0.3)
        rest = await asyncio.wait_for(reader.read(), 5)
        took_s = asyncio.get_running_loop().time() - began
        await asyncio.wait_for(there.listener.finished(), 5)
        writer.close()

    assert (rest, 0.2 < took_s < 1.0) == (b"", True)


@pytest.mark.parametrize("draining", [False, True])
async def test_a_request_that_has_come_but_is_not_read_yet_is_answered_before_its_connection_closes(
    draining: bool,
) -> None:
    """A worker that stood still may find the end of an idle connection's time before the request."""
    async with place() as there:
        client = await asyncio.to_thread(socket.create_connection, ("127.0.0.1", there.port), 5)
        client.sendall(post())
        await asyncio.to_thread(client.recv, 65536)
        if draining:
            there.listener.drain(60.0)
        (connection,) = there.listener._connections
        client.sendall(post())
        connection.expire(asyncio.get_running_loop().time())
        answer = await asyncio.to_thread(client.recv, 65536)
        client.close()

    assert status(answer) == 200


async def test_an_application_can_close_the_connection() -> None:
    async def closes(scope: Any, receive: Any, send: Any) -> None:
        head = [(b"content-length", b"2"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b"ok"})

    async with place(closes) as there:
        answer = await there.say(post())

    assert answer.endswith(b"ok")
    assert answer.count(b"connection: close") == 1


async def test_a_connection_that_opens_late_has_its_own_time_for_a_request() -> None:
    """A busy worker may accept a connection and learn only later that it is replaced, or the other way round."""
    loop = asyncio.get_running_loop()
    async with place(echo, ClientLimits()) as there:
        client, late = socket.socketpair()
        late.setblocking(False)
        began = loop.time()
        there.listener.drain(0.3)
        await asyncio.sleep(0.2)
        await there.listener._adopt(late)
        await asyncio.wait_for(there.listener.finished(), 5)
        took_s = loop.time() - began
        client.close()

    assert took_s > 0.45


async def test_a_connection_whose_worker_ends_before_it_is_opened_is_closed() -> None:
    async with place() as there:
        with socket.create_connection(("127.0.0.1", there.port), timeout=5) as client:
            await until(lambda: bool(there.listener._adopting))
            for task in there.listener._adopting:
                task.cancel()

            assert await asyncio.to_thread(client.recv, 1) == b""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


async def test_clients_that_do_not_finish_their_handshake_give_way(authority: trustme.CA) -> None:
    tls, trusting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(tls)
    authority.configure_trust(trusting)
    async with listening(echo, ClientLimits(connections=3), tls) as there:
        silent = [socket.create_connection(("127.0.0.1", there.port)) for _ in range(8)]
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", there.port, ssl=trusting, server_hostname="localhost"
            )
            writer.write(post(b"hello", "/a", "connection: close"))
            answer = await reader.read()
        writer.close()
        assert there.listener.connections <= 3

    for connection in silent:
        connection.close()
    assert status(answer) == 200


async def test_a_handshake_has_a_limit_of_time(authority: trustme.CA) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(tls)
    async with listening(echo, QUICK, tls) as there:
        with socket.create_connection(("127.0.0.1", there.port), timeout=5) as silent:
            assert await asyncio.to_thread(silent.recv, 1) == b""
        plain = await there.say(post())

    assert not plain.startswith(b"HTTP/1.1 200")


async def until(true: Callable[[], bool]) -> None:
    for _ in range(100):
        if true():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not become true")
