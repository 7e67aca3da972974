"""Puts the parts together: from settings to a gateway that prepares, calls and records.

The path of a request is the tuple in `Gateway.steps`. Adapters come from the registry by their
kind; nothing heavy is imported before `open` starts to load it.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from msgspec import Struct

from gateway import registry
from gateway.backends.call import Caller
from gateway.backends.route import Route, Routes
from gateway.errors import ConfigError, Problem
from gateway.exchange import Exchange
from gateway.pipeline import Step, prepare
from gateway.ports import Backend, HotState, Outcome, Recorder
from gateway.readiness import Readiness
from gateway.settings import KindTable, Settings, decode
from gateway.telemetry.metrics import Metrics

log = logging.getLogger("foreword.assembly")


class Parts(Struct):
    """What adapters may share."""

    settings: Settings
    embedder: Any = None


class Gateway:
    """A configured gateway. Who creates it calls `open` on the event loop, and `aclose` at the end."""

    def __init__(
        self,
        settings: Settings,
        backends: dict[str, Backend],
        routes: Routes,
        state: HotState,
        steps: Sequence[Step],
        *,
        recorder: Recorder | None = None,
    ) -> None:
        self.settings = settings
        self.backends = backends
        self.routes = routes
        self.state = state
        self.steps = tuple(steps)
        self.caller = Caller(backends, state)
        self.recorder = recorder
        self.metrics = Metrics(shared=settings.server.workers > 1)
        self.readiness = Readiness()
        self.in_flight = 0
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        """Start loading in the background; returns at once."""
        group = asyncio.create_task(self._load(), name="load")
        self._stack.push_async_callback(_cancelled, group)

    async def aclose(self) -> None:
        await self._stack.aclose()

    async def prepare(self, exchange: Exchange) -> Exchange:
        return await prepare(exchange, self.steps)

    def over(self, exchange: Exchange, outcome: Outcome, traceparent: str = "") -> None:
        """An exchange has ended: count it and hand it to the recorder. Never waits, never raises."""
        self.metrics.count(exchange, outcome)
        if self.recorder is not None:
            self.recorder.record(exchange, outcome)

    async def _load(self) -> None:
        async with asyncio.TaskGroup() as group:
            for name, backend in self.backends.items():
                self._stack.push_async_callback(backend.aclose)
                group.create_task(self.readiness.watch(f"backend {name}", backend.open))


def assemble(settings: Settings) -> Gateway:
    """Build a gateway. Raises `ConfigError` with everything that is wrong with the configuration."""
    problems: list[Problem] = []
    parts = Parts(settings)
    state: HotState | None = _build("state", "state", settings.state, parts, problems)
    backends: dict[str, Backend] = {}
    for name, table in settings.backends.items():
        backend = _build("backends", name, table, parts, problems)
        if backend is not None:
            backends[name] = backend
    routes = Routes(settings.models, backends, settings.routing.default)
    problems += routes.problems(settings.file)
    if problems or state is None:
        raise ConfigError(problems)
    steps = (Step(Route(routes, settings.prompt.mode)),)
    return Gateway(settings, backends, routes, state, steps)


def _build(group: str, name: str, table: KindTable, parts: Parts, problems: list[Problem]) -> Any:
    """One adapter from its table, or None with what is wrong added to `problems`."""
    try:
        kind = registry.find(group, table.kind)
    except registry.UnknownKind as error:
        problems.append(Problem(f"{table.where} kind", str(error)))
        return None
    except ImportError as error:
        problems.append(Problem(f"{table.where} kind", f"{table.kind!r} is not installed: {error}"))
        return None
    settings, wrong = decode(table.table, kind.settings, table.where)
    if settings is not None:
        wrong = list(kind.check(name, settings))
    problems += wrong
    return None if wrong else kind.build(name, settings, parts)


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
