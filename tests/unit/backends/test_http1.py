"""The HTTP/1.1 client against a scripted upstream: connections are kept, cut, and never mixed up."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.backends.connection_pool import ConnectionPool, UpstreamAnswer
from gateway.backends.http1 import AnswerBounds, Broken, Idle, Unreachable
from tests.doubles.ports import free_port
from tests.doubles.upstream import Script, Upstream


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    double = Upstream()
    yield double
    await double.stop()


async def pool_to(port: int, idle_s: float = 5.0, limit: int = 10) -> ConnectionPool:
    return ConnectionPool(
        "127.0.0.1",
        port,
        tls=None,
        headers=[(b"x-fixed", b"1")],
        connect_timeout_s=10.0,
        bounds=AnswerBounds(idle_s, 60.0, 1 << 20),
        limit=limit,
        settle_s=0.0,
    )


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_one_connection_serves_one_request_after_the_other(upstream: Upstream, framing: str) -> None:
    pool = await pool_to(await upstream.start())
    upstream.play(Script(pieces=[b"one", b"two"], framing=framing))

    bodies = [await (await pool.post(b"/x", b"{}")).whole() for _ in range(3)]

    assert (bodies, upstream.connections) == ([b"onetwo"] * 3, 1)
    pool.close()


async def test_a_body_that_ends_with_its_connection_is_whole_and_the_connection_is_not_used_again(
    upstream: Upstream,
) -> None:
    pool = await pool_to(await upstream.start())
    upstream.play(Script(pieces=[b"one"], framing="close"))

    bodies = [await (await pool.post(b"/x", b"{}")).whole() for _ in range(2)]

    assert (bodies, upstream.connections) == ([b"one"] * 2, 2)
    pool.close()


async def test_an_answer_that_is_not_read_to_its_end_takes_its_connection_with_it(upstream: Upstream) -> None:
    pool = await pool_to(await upstream.start())
    upstream.play(Script(pieces=[b"a", b"b", b"c"], framing="chunked"))

    answer = await pool.post(b"/x", b"{}")
    assert await answer.piece() == b"a"
    answer.close()
    rest = await (await pool.post(b"/x", b"{}")).whole()

    assert (rest, upstream.connections) == (b"abc", 2)
    pool.close()


async def test_a_connection_that_the_server_closed_meanwhile_is_not_taken_for_an_answer(upstream: Upstream) -> None:
    pool = await pool_to(await upstream.start())
    upstream.play(Script(pieces=[b"one"]))
    await (await pool.post(b"/x", b"{}")).whole()
    for writer in list(upstream._writers):
        writer.transport.abort()
    await asyncio.sleep(0.05)

    assert await (await pool.post(b"/x", b"{}")).whole() == b"one"
    assert len(upstream.received) == 2
    pool.close()


@pytest.mark.parametrize(("end", "error"), [("cut", Broken), ("reset", Broken), ("stall", Idle)])
async def test_half_an_answer_is_an_error(upstream: Upstream, end: str, error: type[Exception]) -> None:
    pool = await pool_to(await upstream.start(), idle_s=0.2)
    upstream.play(Script(pieces=[b"half"], end=end))

    with pytest.raises(error):
        await (await pool.post(b"/x", b"{}")).whole()
    pool.close()


async def test_nobody_listening_is_unreachable() -> None:
    pool = await pool_to(free_port())

    with pytest.raises(Unreachable):
        await pool.post(b"/x", b"{}")


async def test_what_is_not_http_is_broken() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    pool = await pool_to(server.sockets[0].getsockname()[1])

    with pytest.raises(Broken):
        await pool.post(b"/x", b"{}")
    server.close()


async def test_a_caller_that_gives_up_cuts_its_own_connection_only(upstream: Upstream) -> None:
    pool = await pool_to(await upstream.start())
    upstream.play(Script(end="stall"), Script(pieces=[b"fine"]))
    waiting = asyncio.create_task(pool.post(b"/x", b"{}"))
    await upstream.heard.wait()

    other = await (await pool.post(b"/x", b"{}")).whole()
    answer = await waiting
    body = asyncio.create_task(answer.whole())
    await asyncio.sleep(0)
    body.cancel()
    await asyncio.gather(body, return_exceptions=True)
    async with asyncio.timeout(5):
        await upstream.received[0].left.wait()

    assert other == b"fine"
    pool.close()


async def raw_server(*sends: bytes, then_close: bool = False) -> tuple[asyncio.Server, list[int]]:
    """Answers the nth request of a connection with the nth bytes."""
    requests: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for send in sends:
            try:
                await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, asyncio.CancelledError):
                break
            await reader.readexactly(2)
            requests.append(1)
            writer.write(send)
            await writer.drain()
            if then_close:
                break
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0), requests


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def test_a_second_answer_to_one_request_is_never_taken_for_the_next_ones() -> None:
    server, requests = await raw_server(OK + b"HTTP/1.1 404 No\r\ncontent-length: 3\r\n\r\nbad", OK)
    pool = await pool_to(server.sockets[0].getsockname()[1])

    # both answers come in one write, so the first connection is closed before its second request
    for _ in range(2):
        answer = await pool.post(b"/x", b"{}")
        assert (answer.status, await answer.whole()) == (200, b"ok")
    assert len(requests) == 2
    pool.close()
    server.close()


async def test_trailers_are_no_headers() -> None:
    trailed = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\ncontent-encoding: gzip\r\n\r\n"
    server, _ = await raw_server(trailed)
    pool = await pool_to(server.sockets[0].getsockname()[1])

    answer = await pool.post(b"/x", b"{}")

    assert await answer.whole() == b"ok"
    assert answer.headers == [(b"transfer-encoding", b"chunked")]
    pool.close()
    server.close()


async def test_a_request_that_a_fresh_connection_took_is_not_safe_to_ask_again() -> None:
    server, requests = await raw_server(b"", then_close=True)
    pool = await pool_to(server.sockets[0].getsockname()[1])

    with pytest.raises(Broken):
        await pool.post(b"/x", b"{}")
    assert len(requests) == 1
    pool.close()
    server.close()


async def test_early_hints_are_passed_over() -> None:
    server, _ = await raw_server(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK)
    pool = await pool_to(server.sockets[0].getsockname()[1])

    answer = await pool.post(b"/x", b"{}")

    assert (answer.status, answer.headers, await answer.whole()) == (200, [(b"content-length", b"2")], b"ok")
    pool.close()
    server.close()


async def test_no_more_connections_than_the_limit(upstream: Upstream) -> None:
    pool = await pool_to(await upstream.start(), limit=2)
    upstream.play(Script(pieces=[b"x", b"y"], framing="chunked"))

    async def one() -> bytes:
        return await (await pool.post(b"/x", b"{}")).whole()

    bodies = await asyncio.gather(*[one() for _ in range(10)])

    assert bodies == [b"xy"] * 10
    assert upstream.connections <= 2
    pool.close()


async def one_served_two_waiting(
    upstream: Upstream,
) -> tuple[ConnectionPool, UpstreamAnswer, asyncio.Task[UpstreamAnswer], asyncio.Task[UpstreamAnswer]]:
    pool = await pool_to(await upstream.start(), limit=1)
    upstream.play(Script(pieces=[b"one"]))
    first = await pool.post(b"/x", b"{}")
    gone, patient = (asyncio.create_task(pool.post(b"/x", b"{}")) for _ in range(2))
    await asyncio.sleep(0)
    return pool, first, gone, patient


async def test_a_place_goes_to_who_waits_longest_and_past_who_gave_up(upstream: Upstream) -> None:
    pool, first, gone, patient = await one_served_two_waiting(upstream)

    gone.cancel()
    await first.whole()

    assert await (await patient).whole() == b"one"
    assert await (await pool.post(b"/x", b"{}")).whole() == b"one"
    assert gone.cancelled()
    pool.close()


async def test_a_place_that_was_given_to_who_gave_up_in_that_moment_goes_on(upstream: Upstream) -> None:
    pool, first, gone, patient = await one_served_two_waiting(upstream)

    first.close()
    gone.cancel()

    assert await (await patient).whole() == b"one"
    pool.close()


async def test_the_request_is_what_was_said(upstream: Upstream) -> None:
    port = await upstream.start()
    pool = await pool_to(port)
    upstream.play(Script(pieces=[b"x"]))

    await (await pool.post(b"/v1/x", b"body", ((b"traceparent", b"00-1"),))).whole()

    received = upstream.received[0]
    assert (received.line, received.body) == ("POST /v1/x HTTP/1.1", b"body")
    assert received.headers == {
        "host": f"127.0.0.1:{port}",
        "x-fixed": "1",
        "traceparent": "00-1",
        "content-length": "4",
    }
    pool.close()
