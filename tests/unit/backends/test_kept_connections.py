"""A request that was taken is not sent twice, and no connection is used that has anything unread on it."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from gateway.backends.connection_pool import ConnectionPool
from gateway.backends.http1 import AllInUse, AnswerBounds, Broken, Overdue, TooLong, Unanswered, Unreachable
from tests.doubles.raw_server import RawConnection, RawServer

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
POISON = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"
Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    return request.param


def pool_to(
    port: int, *, settle_s: float = 0.0, limit: int = 10, total_s: float = 60.0, mb: float = 1
) -> ConnectionPool:
    return ConnectionPool(
        "127.0.0.1",
        port,
        tls=None,
        headers=[],
        connect_timeout_s=0.2 if limit == 1 else 10.0,
        bounds=AnswerBounds(30.0, total_s, int(mb * (1 << 20))),
        limit=limit,
        settle_s=settle_s,
    )


async def bodies(pool: ConnectionPool, count: int, body: bytes = b"{}") -> list[bytes | Exception]:
    """One request after the other: the answer's body, or what was raised."""
    answers: list[bytes | Exception] = []
    for _ in range(count):
        try:
            answers.append(await (await pool.post(b"/x", body)).whole())
        except Exception as error:
            answers.append(error)
    pool.close()
    return answers


def test_a_connection_that_closes_after_the_request_without_a_byte_is_not_asked_again(run: Run) -> None:
    requests = []

    def works_once_then_closes(connection: RawConnection, number: int) -> None:
        requests.append(connection.request())
        connection.send(OK)
        requests.append(connection.request())

    with RawServer(works_once_then_closes) as server:
        first, second = run(bodies(pool_to(server.port), 2))

    assert first == b"ok"
    assert isinstance(second, Unanswered)
    assert (len(requests), server.connections) == (2, 1)


@pytest.mark.parametrize("unread", [POISON, b""], ids=["a second answer", "a close"])
def test_what_the_kernel_holds_unread_keeps_a_connection_from_use(run: Run, unread: bytes) -> None:
    sent = threading.Event()

    def sends_more_before_the_second_request(connection: RawConnection, number: int) -> None:
        connection.request()
        connection.send(OK)
        if number == 1:
            time.sleep(0.05)
            connection.send(unread)
            connection.link.shutdown(1) if not unread else None
            sent.set()
        connection.request()
        connection.send(OK)

    async def scenario() -> list[bytes]:
        pool = pool_to(server.port)
        first = await (await pool.post(b"/x", b"{}")).whole()
        sent.wait(5)  # blocks the event loop, which therefore cannot have read it
        second = await (await pool.post(b"/x", b"{}")).whole()
        pool.close()
        return [first, second]

    with RawServer(sends_more_before_the_second_request) as server:
        assert run(scenario()) == [b"ok", b"ok"]
        assert server.connections == 2


def test_a_second_answer_that_follows_within_milliseconds_is_given_to_nobody(run: Run) -> None:
    def sends_each_answer_twice(connection: RawConnection, number: int) -> None:
        while connection.request():
            connection.send(OK)
            time.sleep(0.002)
            connection.send(POISON)

    with RawServer(sends_each_answer_twice) as server:
        assert run(bodies(pool_to(server.port, settle_s=2.0, limit=100), 40)) == [b"ok"] * 40


def test_after_a_stray_answer_no_connection_is_kept(run: Run) -> None:
    def sends_one_more(connection: RawConnection, number: int) -> None:
        while connection.request():
            connection.send(OK)
            if number == 1:
                time.sleep(0.02)
                connection.send(POISON)

    async def scenario() -> list[bytes | Exception]:
        pool = pool_to(server.port)
        assert await (await pool.post(b"/x", b"{}")).whole() == b"ok"
        await asyncio.sleep(0.3)
        return await bodies(pool, 3)

    with RawServer(sends_one_more) as server:
        assert run(scenario()) == [b"ok"] * 3
        assert server.connections == 4


@pytest.mark.parametrize(
    "broken",
    [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", b"no HTTP\r\n\r\n"],
    ids=["half an answer", "no HTTP"],
)
def test_after_a_broken_answer_the_next_request_has_a_fresh_connection(run: Run, broken: bytes) -> None:
    def breaks_the_second(connection: RawConnection, number: int) -> None:
        for answer in (OK, broken) if number == 1 else (OK, OK, OK):
            connection.request()
            connection.send(answer)

    async def scenario() -> list[bytes | Exception]:
        pool = pool_to(server.port)
        first, other = await pool.post(b"/x", b"{}"), await pool.post(b"/x", b"{}")
        await other.whole()
        await first.whole()
        with pytest.raises(Broken):
            await (await pool.post(b"/x", b"{}")).whole()
        return await bodies(pool, 1)

    with RawServer(breaks_the_second) as server:
        assert run(scenario()) == [b"ok"]
        assert server.connections == 3


def test_a_request_that_was_half_written_to_a_kept_connection_is_sent_over_a_new_one(run: Run) -> None:
    whole = []

    def breaks_in_the_second_request(connection: RawConnection, number: int) -> None:
        whole.append(connection.request())
        connection.send(OK)
        if number == 1:
            connection.link.recv(1000)
            connection.reset()

    async def scenario() -> list[bytes | Exception]:
        pool = pool_to(server.port)
        assert await (await pool.post(b"/x", b"{}")).whole() == b"ok"
        return await bodies(pool, 1, b"x" * (32 << 20))

    with RawServer(breaks_in_the_second_request) as server:
        assert run(scenario()) == [b"ok"]
        assert (len(whole), server.connections) == (2, 2)


def test_a_request_that_was_half_written_to_a_new_connection_was_not_taken(run: Run) -> None:
    def breaks_in_the_request(connection: RawConnection, number: int) -> None:
        connection.link.recv(1000)
        connection.reset()

    with RawServer(breaks_in_the_request) as server:
        assert [type(error) for error in run(bodies(pool_to(server.port), 1, b"x" * (32 << 20)))] == [Unreachable]


def test_an_answer_before_the_request_is_written_leaves_a_connection_that_is_not_used_again(run: Run) -> None:
    def answers_at_once(connection: RawConnection, number: int) -> None:
        connection.link.recv(1000)
        connection.send(OK)
        time.sleep(0.2)

    async def scenario() -> list[bytes | Exception]:
        pool = pool_to(server.port)
        assert await (await pool.post(b"/x", b"x" * (32 << 20))).whole() == b"ok"
        return await bodies(pool, 1)

    with RawServer(answers_at_once) as server:
        assert run(scenario()) == [b"ok"]
        assert server.connections == 2


def test_connections_settle_before_they_are_used_again_while_others_can_be_had(run: Run) -> None:
    def answers(connection: RawConnection, number: int) -> None:
        while connection.request():
            connection.send(OK)

    with RawServer(answers) as server:
        assert run(bodies(pool_to(server.port, settle_s=5.0, limit=3), 7)) == [b"ok"] * 7
        assert server.connections == 3


def test_waiting_for_a_connection_in_vain_is_not_the_upstreams_failure(run: Run) -> None:
    async def scenario() -> None:
        pool = pool_to(server.port, limit=1)
        answer = await pool.post(b"/x", b"{}")
        with pytest.raises(AllInUse):
            await pool.post(b"/x", b"{}")
        assert await answer.whole() == b"ok"
        assert await (await pool.post(b"/x", b"{}")).whole() == b"ok"
        pool.close()

    def answers(connection: RawConnection, number: int) -> None:
        while connection.request():
            connection.send(OK)

    with RawServer(answers) as server:
        run(scenario())


def endlessly(head: bytes, piece: bytes, pause_s: float = 0.0) -> Callable[[RawConnection, int], None]:
    def send(connection: RawConnection, number: int) -> None:
        connection.request()
        connection.send(head)
        while True:
            connection.send(piece)
            time.sleep(pause_s)

    return send


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
KB = b"x" * 1024


@pytest.mark.parametrize(
    ("head", "piece", "error"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9999999999\r\n\r\n", KB, TooLong),
        (CHUNKED, b"400\r\n" + KB + b"\r\n", TooLong),
        (CHUNKED, b"1\r\nx\r\n" * 500, TooLong),
        (CHUNKED + b"0\r\n", b"x-trailer: " + KB + b"\r\n", TooLong),
        (b"HTTP/1.1 200 OK\r\n", b"x-more: 1\r\n" * 100, Broken),
        (b"HTTP/1.1 200 OK\r\nx-long: ", KB, Broken),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100, Broken),
    ],
    ids=["length", "chunks", "tiny chunks", "trailers", "headers", "one header", "early hints"],
)
def test_an_answer_without_end_is_cut_off_at_its_limit(
    run: Run, head: bytes, piece: bytes, error: type[Exception]
) -> None:
    with RawServer(endlessly(head, piece)) as server:
        assert [type(raised) for raised in run(bodies(pool_to(server.port), 1))] == [error]


def test_an_answer_that_drips_is_cut_off_at_its_time(run: Run) -> None:
    with RawServer(endlessly(CHUNKED, b"1\r\nx\r\n", 0.02)) as server:
        began = time.monotonic()
        assert [type(raised) for raised in run(bodies(pool_to(server.port, total_s=0.3), 1))] == [Overdue]
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("status", "connections"), [(500, 2), (503, 2), (529, 2), (408, 2), (429, 1), (404, 1), (501, 1)]
)
def test_a_second_try_after_a_failure_of_the_server_has_a_fresh_connection(
    run: Run, status: int, connections: int
) -> None:
    def fails_once(connection: RawConnection, number: int) -> None:
        failure = b"HTTP/1.1 %d No\r\ncontent-length: 2\r\n\r\nno" % status
        while connection.request():
            connection.send(failure if server.connections == 1 and not failed else OK)
            failed.append(number)

    failed: list[int] = []
    with RawServer(fails_once) as server:
        assert run(bodies(pool_to(server.port), 2)) == [b"no", b"ok"]
        assert server.connections == connections
