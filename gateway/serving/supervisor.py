"""The parent process: starts workers, replaces dead ones, reloads the configuration, and shuts down in order.

The parent has one thread and no event loop, so forking is safe. It serves only the port for health and metrics.
"""

import logging
import os
import selectors
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from gateway.errors import ConfigError
from gateway.serving import status
from gateway.serving.caught_signals import CaughtSignals
from gateway.serving.channel import (
    Accept,
    AskMetrics,
    AskReload,
    DrainOrder,
    FromWorker,
    MetricsPage,
    Opened,
    Ready,
    ReloadEnded,
)
from gateway.serving.child import Child
from gateway.serving.config_swap import ConfigSwap, Hear
from gateway.serving.health import JSON, TEXT, HealthPort, Respond
from gateway.serving.shared_config import SharedConfig
from gateway.serving.worker import CLOSE_S, CUT_S, FLUSH_S, LEAVE_S, REST_S
from gateway.settings.reload import ReloadOutcome
from gateway.settings.tables import Settings

log = logging.getLogger("foreword.supervisor")

TICK_S = 0.1
TWICE_S = 5.0
"""If a worker dies twice within this time, the server ends, because the worker would die again."""
METRICS_S = 0.5
"""How long to wait for a worker's metrics."""
SPARE_S = 3.0
"""A worker that has not ended this long after its planned end is killed."""
NEVER = float("inf")

Work = Callable[[socket.socket, Settings], int]
"""Runs a worker in its own process, and returns the exit status."""
Check = Callable[[str | None], None]
"""Checks the given configuration or, if it is None, the file. Raises `ConfigError`."""
Read = Callable[[str | None], Settings]
"""Reads the given configuration or, if it is None, the file. Raises `ConfigError`."""
REPLACED = ReloadOutcome("replaced", "A later change of the configuration came before this one was in use.")
ENDS = ReloadOutcome("replaced", "The server is shutting down.")


class Supervisor:
    """Runs workers until a signal or a failure ends the server. Closes the sockets that the caller opened."""

    def __init__(
        self,
        settings: Settings,
        work: Work,
        *,
        check: Check,
        read: Read,
        listening: socket.socket,
        health: socket.socket | None,
        is_allowed: Callable[[str], bool],
        shared: SharedConfig | None = None,
    ) -> None:
        """`check` runs in a process of its own. After a successful check, `read` loads the configuration.

        `is_allowed` gets the Host header of a request to the health port and returns whether to answer. Gateways
        with the same `shared` file take each other's configurations.
        """
        self._settings = settings
        self._work, self._check, self._read = work, check, read
        self._listening: socket.socket | None = listening
        self._close_at = NEVER
        self._selector = selectors.DefaultSelector()
        self._children: list[Child] = []
        self._serving = 1
        """The generation of the workers that accept connections. Each new configuration starts a new generation of
        workers."""
        self._swap: ConfigSwap | None = None
        """The attempt to take a new configuration, until it has succeeded or failed."""
        self._taken: list[ConfigSwap] = []
        """Attempts that have succeeded, until those who asked are told so."""
        self._shared = shared
        self._swaps = {"taken": 0, "refused": 0}
        self._deaths: dict[int, float] = {}
        self._restarts = 0
        self._ending: int | None = None
        """The exit status of the server. None until the shutdown begins."""
        self._metrics_requests: list[tuple[float, Respond]] = []
        routes = {"/health/live": self._live, "/health/ready": self._ready, "/metrics": self._metrics}
        self._health = HealthPort(self._selector, health, routes, is_allowed) if health is not None else None
        self._signals = CaughtSignals()

    def run(self) -> int:
        """Run until the server ends, and return the exit status."""
        self._signals.catch()
        self._selector.register(self._signals.channel, selectors.EVENT_READ, self._woke)
        for number in self._numbers():
            self._spawn(number, self._serving, self._settings)
        while self._children or self._ending is None:
            for key, _ in self._selector.select(TICK_S):
                key.data()
            self._tick()
        if self._health is not None:
            self._health.close()
        return self._ending

    def _numbers(self) -> range:
        return range(1, self._settings.server.workers + 1)

    def _tick(self) -> None:
        now = monotonic()
        self._reap()
        for child in self._children:
            if now >= child.kill_at:
                log.warning("a worker did not end in time and is killed", extra={"worker": child.number})
                child.kill_at = NEVER
                child.kill()
        self._taken = [swap for swap in self._taken if not swap.tell_taken(self._children)]
        if now >= self._close_at and self._listening is not None:
            self._listening.close()
            self._listening = None
        if self._metrics_requests and now >= self._metrics_requests[0][0]:
            self._answer_metrics("")
        if self._shared is not None and self._ending is None and self._swap is None and self._shared.changed():
            self._follow(self._shared)
        if self._health is not None:
            self._health.look()

    # handling signals

    def _woke(self) -> None:
        for number in self._signals.take():
            if number == signal.SIGHUP:
                self._reload()
            else:
                self._end(0)

    def _end(self, exit_status: int) -> None:
        """Begin an orderly shutdown. A second call aborts running requests."""
        server = self._settings.server
        if self._ending is None:
            log.info("draining", extra={"notice_s": server.drain_notice_s, "drain_s": server.drain_s})
            self._ending = exit_status
            self._close_at = monotonic() + server.drain_notice_s
            self._give_up_next(ENDS)
        for child in self._children:
            self._drain(child, server.drain_notice_s)

    # workers

    def _spawn(self, number: int, generation: int, settings: Settings) -> None:
        child = Child(number, generation)
        child.fork(lambda channel: self._begin_work(channel, settings), self._own_sockets())
        self._children.append(child)
        self._selector.register(child.channel, selectors.EVENT_READ, lambda: self._hear(child))
        log.info("a worker starts", extra={"worker": number, "pid": child.pid})

    def _begin_work(self, channel: socket.socket, settings: Settings) -> int:
        self._selector.close()
        return self._work(channel, settings)

    def _own_sockets(self) -> list[socket.socket]:
        """Return the sockets that a child must close. A connection stays open as long as a child keeps its socket."""
        health = self._health.sockets() if self._health is not None else []
        return [*self._signals.sockets(), *health, *[child.channel for child in self._children]]

    def _hear(self, child: Child) -> None:
        if child not in self._children:
            return  # it was forgotten by an event that came with this one
        reports, there = child.hear()
        for report in reports:
            self._note(child, report)
        if not there and child in self._children:
            with suppress(KeyError):
                self._selector.unregister(child.channel)

    def _note(self, child: Child, report: FromWorker) -> None:
        if isinstance(report, Opened) and child.generation == self._serving and not child.draining:
            child.send(Accept())
        elif isinstance(report, Ready) and child.generation > self._serving:
            self._look_at_next(child)
        elif isinstance(report, MetricsPage):
            self._answer_metrics(report.text)
        elif isinstance(report, AskReload):
            number = report.number
            self._reload(report.config, lambda outcome: child.send(ReloadEnded(number, outcome)))

    def _drain(self, child: Child, notice_s: float, *, replaced: bool = False) -> None:
        drain_s = self._settings.server.drain_s
        child.draining = True
        wait_s = notice_s + REST_S + LEAVE_S + drain_s + CUT_S + FLUSH_S + CLOSE_S + SPARE_S
        child.kill_at = min(child.kill_at, monotonic() + wait_s)
        child.send(DrainOrder(notice_s, drain_s, replaced))

    def _reap(self) -> None:
        for child in tuple(self._children):
            if child not in self._children:
                continue  # it was ended with its configuration, after the death of another child
            pid, wait_status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                self._hear(child)
                self._forget(child)
                self._died(child, os.waitstatus_to_exitcode(wait_status))

    def _forget(self, child: Child) -> None:
        """Close the channel of a child that has ended. Events that came with the last one may still name the child."""
        if child in self._children:
            with suppress(KeyError):
                self._selector.unregister(child.channel)
            child.close()
            self._children.remove(child)

    def _died(self, child: Child, exit_code: int) -> None:
        if self._ending is not None or child.draining:
            return
        how = f"was ended by signal {-exit_code}" if exit_code < 0 else f"ended with status {exit_code}"
        if child.generation > self._serving:
            failure = ReloadOutcome("failed", child.failure or f"its worker {how}")
            if self._swap is not None:
                self._fail_next(self._swap, failure)
            return
        now = monotonic()
        last, self._deaths[child.number] = self._deaths.get(child.number), now
        if child.failure and not child.opened:
            log.error("worker %d cannot start: %s", child.number, child.failure)
            self._end(1)
        elif last is not None and now - last < TWICE_S:
            log.error(
                "worker %d (pid %d) %s, twice within %g s: the server ends",
                child.number,
                child.pid,
                how,
                TWICE_S,
            )
            self._end(1)
        else:
            log.error("worker %d (pid %d) %s; starting a replacement", child.number, child.pid, how)
            self._restarts += 1
            self._spawn(child.number, child.generation, self._settings)

    # a new configuration

    def _follow(self, shared: SharedConfig) -> None:
        """Take the configuration of another gateway."""
        try:
            text = shared.text()
        except ConfigError as error:
            log.error("the configuration of another gateway cannot be used: %s", error)
            self._swaps["refused"] += 1
        else:
            self._reload(text, follows=True)

    def _reload(self, text: str | None = None, hear: Hear | None = None, *, follows: bool = False) -> None:
        """Check the configuration and start new workers with it.

        The new workers replace the current ones once all new workers are ready. `hear` gets the result.
        """
        if self._ending is not None:
            if hear is not None:
                hear(ENDS)
            return
        self._give_up_next(REPLACED)
        if follows:
            log.info("taking the configuration of another gateway")
        else:
            log.info("reading the configuration again" if text is None else "a new configuration came over HTTP")
        swap = self._swap = ConfigSwap(text, hear, self._check, self._own_sockets(), follows=follows)
        assert swap.check is not None
        self._selector.register(swap.check.channel, selectors.EVENT_READ, lambda: self._hear_check(swap))
        self._spawn_next(swap)

    def _spawn_next(self, swap: ConfigSwap) -> None:
        """Start workers with the new configuration beside its check, which takes as long as half of their start."""
        try:
            settings = self._read(swap.text)
        except ConfigError as error:
            swap.failure = ReloadOutcome("mistakes", str(error))
            return
        if (settings.server.workers > 1) != (self._settings.server.workers > 1):
            swap.failure = ReloadOutcome("failed", "a change between one worker and several needs a restart")
            return
        swap.settings = settings
        for number in range(1, settings.server.workers + 1):
            self._spawn(number, self._serving + 1, settings)

    def _hear_check(self, swap: ConfigSwap) -> None:
        if swap.check is None:
            return  # it was given up by an event that came with this one
        swap.check.read()
        if not swap.check.done:
            return
        mistakes = swap.check.mistakes()
        self._end_check(swap)
        if mistakes:
            self._refuse_next(ReloadOutcome("mistakes", mistakes))
        elif swap.failure is not None:
            self._refuse_next(swap.failure)
        else:
            self._take_over_if_ready(swap)

    def _fail_next(self, swap: ConfigSwap, failure: ReloadOutcome) -> None:
        """Refuse the new configuration, but not before its check, which may find the mistake behind the failure."""
        if swap.check is None:
            self._refuse_next(failure)
        else:
            swap.failure = swap.failure or failure

    def _end_check(self, swap: ConfigSwap) -> None:
        if (check := swap.end_check()) is not None:
            self._selector.unregister(check.channel)
            check.close()

    def _look_at_next(self, child: Child) -> None:
        swap = self._swap
        if swap is None or swap.settings is None or child.draining:
            return
        if status.has_failed(child) and self._was_ready():
            why = f"a new worker does not become ready: {child.ready_body.decode()}"
            self._fail_next(swap, ReloadOutcome("failed", why))
        elif swap.check is None:
            self._take_over_if_ready(swap)

    def _was_ready(self) -> bool:
        return any(worker.ready_status == 200 for worker in self._current())

    def _take_over_if_ready(self, swap: ConfigSwap) -> None:
        coming = [worker for worker in self._children if worker.generation > self._serving and not worker.draining]
        current, was_ready = self._current(), self._was_ready()
        assert swap.settings is not None
        if len(coming) == swap.settings.server.workers and all(
            worker.ready_status == 200 or (status.has_failed(worker) and not was_ready) for worker in coming
        ):
            before, self._settings, self._swap = self._settings.server, swap.settings, None
            self._serving += 1
            self._swaps["taken"] += 1
            self._deaths.clear()
            for worker in coming:
                worker.send(Accept())
            swap.taken(before, current)
            self._taken.append(swap)
            if self._shared is not None and not swap.follows:
                # a gateway that only follows, and slowly, must not write over what was posted since
                self._shared.put(swap.text)
            for worker in current:
                self._drain(worker, 0.0, replaced=True)
            log.info("the new configuration is in use")

    def _refuse_next(self, outcome: ReloadOutcome) -> None:
        log.error("the new configuration cannot be used, and the old one stays in use: %s", outcome.text)
        self._swaps["refused"] += 1
        self._give_up_next(outcome)

    def _give_up_next(self, outcome: ReloadOutcome) -> None:
        """End the workers that were started for a new configuration."""
        swap, self._swap = self._swap, None
        for child in tuple(self._children):
            if child.generation > self._serving and not child.draining:
                child.draining = True
                child.kill()
                child.wait()
                self._forget(child)
        if swap is not None:
            self._end_check(swap)
            swap.refused(outcome)

    # health and metrics

    def _current(self) -> list[Child]:
        return [child for child in self._children if child.generation == self._serving]

    def _live(self, respond: Respond) -> None:
        code, body = status.live(self._current())
        respond(code, JSON, body)

    def _ready(self, respond: Respond) -> None:
        code, body = status.ready(self._current(), ending=self._ending is not None)
        respond(code, JSON, body)

    def _metrics(self, respond: Respond) -> None:
        """Answer with the metrics of the first worker that responds. Each worker's page covers all workers."""
        able = [child for child in self._current() if child.opened and child.silent_s() < METRICS_S * 2]
        self._metrics_requests.append((monotonic() + (METRICS_S if able else 0.0), respond))
        for child in able:
            child.send(AskMetrics())

    def _answer_metrics(self, page: str) -> None:
        waiting, self._metrics_requests = self._metrics_requests, []
        body = (page + status.figures(self._current(), self._restarts, self._swaps)).encode()
        for _, respond in waiting:
            respond(200, TEXT, body)
