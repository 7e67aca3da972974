"""A worker process: an event loop, the application and the listener.

The parent decides when the worker accepts connections and when it ends.
"""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Awaitable, Callable
from ssl import SSLContext
from typing import Any, Protocol

from msgspec import Raw

from gateway.errors import ConfigError
from gateway.serving.channel import (
    Accept,
    AskMetrics,
    AskReload,
    Beat,
    Closed,
    DrainOrder,
    Failed,
    FromWorker,
    Lines,
    MetricsPage,
    Opened,
    Ready,
    ReloadEnded,
    line,
    read_order,
)
from gateway.serving.limits import ClientLimits
from gateway.serving.listener import Listener
from gateway.settings.reload import ReloadOutcome

log = logging.getLogger("foreword.serving")

BEAT_S = 0.5
LOOK_S = 0.02
"""A worker that is not ready yet looks this often whether it is, or every twentieth of its age, at most every `BEAT_S`.
A new configuration waits for its workers.
"""
LOOK_SHARE = 0.05
AT_ONCE = DrainOrder(0.0, 0.0)
REST_S = 1.5
"""How long the idle connections of a replaced worker stay open. A client that sends a request at the moment when its
connection closes would lose the request.
"""
CUT_S = 5.0
"""After `cut`, how long the requests may take to send their last event and to be recorded."""
FLUSH_S = 2.0
"""How long the last bytes of answers may take to reach their clients."""
LEAVE_S = 3.0
"""How long the result of a reload waits for workers that do not say that they accept no more connections."""
CLOSE_S = 8.0
"""How long the application may take to close."""


class ServedApplication(Protocol):
    """An ASGI application that reports its readiness and can be drained."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...
    def readiness(self) -> tuple[int, bytes]:
        """Return the status and the body of `/health/ready`."""

    def metrics_page(self) -> bytes: ...
    def drain(self) -> None:
        """Make `/health/ready` report that the application is draining."""

    def cut(self) -> None:
        """End all running requests with an error."""

    def reload_with(self, reload: Callable[[str | None], Awaitable[ReloadOutcome]]) -> None:
        """Set the function that asks the parent to take another configuration."""


class Worker:
    """Runs until a `DrainOrder` arrives or the parent has ended."""

    def __init__(
        self,
        application: ServedApplication,
        limits: ClientLimits,
        listening: socket.socket,
        tls: SSLContext | None = None,
    ) -> None:
        self._application = application
        self._loop = asyncio.get_running_loop()
        self._listener = Listener(application, limits, self._loop, tls=tls)
        self._listening = listening
        self._lifespan = _Lifespan(application)
        self._ready: tuple[int, bytes] | None = None
        self._drain: asyncio.Future[DrainOrder] = self._loop.create_future()
        self._hurry = asyncio.Event()
        self._reloads: dict[int, asyncio.Future[ReloadOutcome]] = {}
        self._reload_number = 0
        application.reload_with(self._ask_reload)

    async def run(self, channel: socket.socket, drain_s: float) -> None:
        self._reports = await _open_channel(self._loop, channel, self._obey, self._end)
        self._loop.add_signal_handler(signal.SIGTERM, self._end, DrainOrder(0.0, drain_s))
        await self._lifespan.start()
        self._report(Opened())
        self._beat()
        self._look(self._loop.time())
        await self._leave(await self._drain)

    def _obey(self, order: bytes) -> None:
        message = read_order(order)
        if isinstance(message, Accept):
            self._listener.listen(self._listening)
        elif isinstance(message, AskMetrics):
            self._report(MetricsPage(self._application.metrics_page().decode()))
        elif isinstance(message, ReloadEnded):
            if (waiting := self._reloads.get(message.number)) is not None and not waiting.done():
                waiting.set_result(message.outcome)
        else:
            self._end(message)

    async def _ask_reload(self, config: str | None) -> ReloadOutcome:
        self._reload_number += 1
        number = self._reload_number
        waiting = self._reloads[number] = self._loop.create_future()
        try:
            self._report(AskReload(number, config))
            outcome: ReloadOutcome = await waiting
            return outcome
        finally:
            del self._reloads[number]

    def _end(self, drain: DrainOrder = AT_ONCE) -> None:
        """Begin to drain. A second call cuts the running requests."""
        if self._drain.done():
            self._hurry.set()
        else:
            self._drain.set_result(drain)

    async def _leave(self, drain: DrainOrder) -> None:
        if not drain.replaced:
            self._application.drain()
            self._tell_readiness()
        await self._unless_hurried(asyncio.sleep(drain.notice_s))
        self._listener.drain(REST_S if drain.replaced else 0.0)
        self._report(Closed())
        if self._reloads:
            # the parent tells the result once all workers are closed
            await self._unless_hurried(asyncio.wait(list(self._reloads.values()), timeout=LEAVE_S))
        await self._unless_hurried(asyncio.wait_for(self._listener.finished(), drain.drain_s))
        if self._listener.requests:
            log.warning("drain time is over: running requests are cut", extra={"requests": self._listener.requests})
            self._application.cut()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._listener.finished(), CUT_S)
        await self._listener.close(FLUSH_S)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._lifespan.stop(), CLOSE_S)

    async def _unless_hurried(self, waiting: Any) -> None:
        tasks = [asyncio.ensure_future(waiting), asyncio.ensure_future(self._hurry.wait())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _report(self, message: FromWorker) -> None:
        self._reports(line(message))

    def _beat(self) -> None:
        self._loop.call_later(BEAT_S, self._beat)
        listener = self._listener
        self._report(
            Beat(listener.requests, listener.connections, listener.refused, listener.evicted, listener.expired)
        )
        self._tell_readiness()

    def _look(self, began: float) -> None:
        self._tell_readiness()
        wait_s = max(LOOK_S, LOOK_SHARE * (self._loop.time() - began))
        if self._ready is not None and self._ready[0] != 200 and wait_s < BEAT_S:
            self._loop.call_later(wait_s, self._look, began)

    def _tell_readiness(self) -> None:
        now = self._application.readiness()
        if now != self._ready:
            self._ready = now
            self._report(Ready(now[0], Raw(now[1])))


class _Lifespan:
    """Starts and ends an application through ASGI's lifespan protocol."""

    def __init__(self, application: ServedApplication) -> None:
        self._application = application
        self._events: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._answers: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the application. Raises `RuntimeError` if the application reports that it cannot start."""
        self._task = asyncio.create_task(self._run(), name="lifespan")
        await self._step("lifespan.startup")

    async def stop(self) -> None:
        await self._step("lifespan.shutdown")

    async def _step(self, event: str) -> None:
        self._events.put_nowait({"type": event})
        answer = await self._answers.get()
        if answer["type"] != f"{event}.complete":
            raise RuntimeError(answer.get("message") or f"the application failed in {event}")

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.3"}, "state": {}}
        try:
            await self._application(scope, self._events.get, self._answers.put)
        except Exception as error:
            log.exception("the application failed to start or to end")
            self._answers.put_nowait({"type": "failed", "message": str(error)})


async def _open_channel(
    loop: asyncio.AbstractEventLoop, channel: socket.socket, obey: Callable[[bytes], None], gone: Callable[[], None]
) -> Callable[[bytes], None]:
    """Open the channel to the parent, and return a function that sends bytes to the parent.

    `obey` is called with each message, and `gone` is called once the parent has ended.
    """

    class Orders(asyncio.Protocol):
        lines = Lines()

        def data_received(self, data: bytes) -> None:
            for order in self.lines.feed(data):
                obey(order)

        def connection_lost(self, exc: Exception | None) -> None:
            gone()

    transport, _ = await loop.create_connection(Orders, sock=channel)
    return transport.write


def work(
    create: Callable[[], ServedApplication],
    limits: ClientLimits,
    listening: socket.socket,
    channel: socket.socket,
    drain_s: float,
    tls: Callable[[], SSLContext | None] = lambda: None,
) -> int:
    """Run a worker process and return its exit status. `tls` may raise `ConfigError`."""
    import uvloop

    async def live() -> None:
        await Worker(create(), limits, listening, tls()).run(channel, drain_s)

    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        # not `asyncio.run`, which would wait for threads, such as one that trains a classifier
        loop.run_until_complete(live())
    except ConfigError as error:
        return _fail(channel, str(error))
    except Exception as error:
        log.exception("a worker ends")
        return _fail(channel, f"{type(error).__name__}: {error}")
    return 0


def _fail(channel: socket.socket, reason: str) -> int:
    with contextlib.suppress(OSError):
        channel.setblocking(True)
        channel.sendall(line(Failed(reason)))
    return 1
