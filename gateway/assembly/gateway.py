"""A configured gateway. It prepares requests, calls models and records exchanges.

Stages take the loaded parts in their constructors and never change. Therefore each load builds a new list of stages,
which takes microseconds.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from msgspec import Struct

from gateway.adapters import Adapters
from gateway.ask import Endpoint, Mode
from gateway.backends.calling.probes import Probes
from gateway.backends.complete import Completions
from gateway.backends.routing.by_intent import unknown_intents
from gateway.context.ingest.background_ingest import BackgroundIngest
from gateway.exchange import Exchange
from gateway.loaded import NOTHING, Loaded
from gateway.loading import LateLoader
from gateway.mcp.servers import McpServers
from gateway.perform.mirror import Mirrors
from gateway.perform.responder import Responder
from gateway.pipeline import PipelineStep, prepare
from gateway.ports import ExchangeOutcome
from gateway.prompt.found.table import FoundTable
from gateway.prompt.measure.unproven import models_of, unproven
from gateway.prompt.policy.decide import RewritePolicy
from gateway.readiness import Readiness
from gateway.records.archive import RecordArchive
from gateway.records.drain import Drain
from gateway.records.object_owners import ObjectOwners
from gateway.records.spool import Spool
from gateway.settings.prompt import PromptTable
from gateway.settings.reload import POSTED, ReloadOutcome
from gateway.settings.tables import Settings
from gateway.state.outage import GuardedState
from gateway.telemetry import names
from gateway.telemetry.access_log import AccessLog
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.traces import Traces

log = logging.getLogger("foreword.assembly")


class Recording(Struct):
    """The parts that keep records. The spool receives finished exchanges, the drain moves them to the database, and the
    archive reads them there.
    """

    spool: Spool
    drain: Drain
    archive: RecordArchive


RequestPath = Callable[[Loaded], tuple[PipelineStep, ...]]
ReloadConfig = Callable[[str | None], Awaitable[ReloadOutcome]]
"""Replaces the configuration of the whole server by this text or, without a text, by the file's."""


class Gateway:
    """A configured gateway. Its creator calls `open` on the event loop, and `aclose` at the end."""

    def __init__(
        self,
        settings: Settings,
        adapters: Adapters,
        path: RequestPath,
        perform: Responder,
        *,
        completions: Completions,
        policy: RewritePolicy,
        found: FoundTable,
        loader: LateLoader | None = None,
        mcp: McpServers | None = None,
        metrics: Metrics,
        probes: Probes | None = None,
        keeping: Recording | None = None,
        intake: BackgroundIngest | None = None,
        objects: ObjectOwners,
    ) -> None:
        self.settings = settings
        self.backends = adapters.backends
        self.routes = adapters.routes
        self.state = adapters.state
        self.perform = perform
        self.found = found
        self.completions = completions
        self.loader = loader
        self._mcp = mcp
        self.keeping = keeping
        self.intake = intake
        self.objects = objects
        self.metrics = metrics
        self.probes = probes or Probes({})
        self.traces = None if settings.telemetry.traces == "off" else Traces(settings.telemetry)
        self.access_log: AccessLog | None = None
        self.readiness = Readiness()
        self.in_flight = 0
        self.reload_config: ReloadConfig | None = None
        """Set by a server that can replace its configuration, else None."""
        self.mirrors: Mirrors | None = None
        if self.routes.has_mirrors and keeping is not None:
            self.mirrors = Mirrors(
                self.routes,
                self.state,
                perform,
                keeping.spool.record,
                busy=lambda: self.in_flight,
                most_bytes=settings.records.max_answer_kb * 1024,
                count=metrics.mirrored,
            )
        self._policy = policy
        self._path = path
        self._built_from, self._steps = NOTHING, path(NOTHING)
        self._stack = AsyncExitStack()
        self._gauges()

    @property
    def archive(self) -> RecordArchive | None:
        return self.keeping.archive if self.keeping else None

    @property
    def loaded(self) -> Loaded:
        """The parts that are loaded. Read this property once per request, since the parts may be replaced at any
        `await`.
        """
        return self.loader.current if self.loader else NOTHING

    @property
    def steps(self) -> tuple[PipelineStep, ...]:
        """The stages of a request, built from the loaded parts."""
        loaded = self.loaded
        if loaded is not self._built_from:
            self._built_from, self._steps = loaded, self._path(loaded)
        return self._steps

    async def open(self) -> None:
        """Start to load the backends and the parts that `prepare` needs. Returns before they are loaded."""
        stack = self._stack
        stack.push_async_callback(self.state.aclose)
        stack.push_async_callback(self.objects.aclose)
        for backend in self.backends.values():
            stack.push_async_callback(backend.aclose)
        if self.loader is not None:
            stack.push_async_callback(self.loader.aclose)
        if self._mcp is not None:
            stack.push_async_callback(self._mcp.aclose)
        if self.intake is not None:
            stack.push_async_callback(self.intake.aclose)
            self.intake.open()
        if self.traces is not None:
            stack.callback(self.traces.close)
        if self.settings.access_log:
            self.access_log = AccessLog(self.settings.access_log, self.settings.telemetry.access_format)
            stack.callback(self.access_log.close)
        stack.push_async_callback(_cancelled, asyncio.create_task(self.found.watch(), name="found prompts"))
        if self.mirrors is not None:
            stack.push_async_callback(self.mirrors.aclose)
        if self.probes:
            stack.push_async_callback(_cancelled, asyncio.create_task(self.probes.watch(), name="probes"))
        if self.keeping is not None:
            stack.push_async_callback(self.keeping.drain.aclose)
            stack.push_async_callback(_cancelled, asyncio.create_task(self.keeping.drain.run(), name="drain"))
        self.readiness.expect(*[f"backend {name}" for name in self.backends])
        stack.push_async_callback(_cancelled, asyncio.create_task(self._load(), name="load"))
        if self.loader is not None:
            stack.push_async_callback(_cancelled, asyncio.create_task(self.loader.watch(), name="watch"))

    async def aclose(self) -> None:
        await self._stack.aclose()

    async def load_prompt(self, *, classifier: bool = True) -> None:
        """Load everything that `prepare` needs. Commands that prepare single requests call this method instead of
        `open`.
        """
        await asyncio.to_thread(self.found.refresh)
        if self.loader is not None:
            self._stack.push_async_callback(self.loader.aclose)
            await self.loader.load(self.readiness, classifier=classifier)

    async def prepare(self, exchange: Exchange) -> Exchange:
        return await prepare(exchange, self.steps)

    def over(self, exchange: Exchange, outcome: ExchangeOutcome, traceparent: str = "") -> None:
        """Count, trace and record a finished exchange. This method never waits and never raises."""
        self.metrics.count(exchange, outcome)
        if self.traces is not None:
            self.traces.add(exchange, outcome, traceparent)
        # a count of tokens has no answer of a model, and agents ask for many
        if self.keeping is not None and exchange.ask.endpoint is not Endpoint.TOKEN_COUNT:
            self.keeping.spool.record(exchange, outcome)
        if self.mirrors is not None and exchange.ask.endpoint is not Endpoint.OTHER:
            self.mirrors.consider(exchange, outcome)

    def reports(self) -> list[str]:
        """Return messages about problems for the operator. A gateway that is ready can have problems too."""
        reports = self.loader.reports() if self.loader else []
        reports += [self.found.problem] if self.found.problem else []
        if self.settings.file == POSTED:
            reports.append("the configuration came over HTTP; a reload without a body takes the file again")
        library = self.loaded.library
        if library is not None:
            reports += self._policy.unknown_templates({template.id for template in library.templates})
            reports += unknown_intents(self.routes.intents, {template.intent.name for template in library.templates})
        if isinstance(self.state, GuardedState) and self.state.gone:
            reports.append("the shared state cannot be reached, so limits are not counted; the log has the reason")
        if self.keeping is not None and self.keeping.drain.failing:
            # no reason is given, since it may name the database's address
            reports.append("records stay in the spool, since the database cannot be used; the log has the reason")
        reports += [f"the probes of the backend {name} fail: {why}" for name, why in self.probes.ejected.items()]
        if self.access_log is not None and self.access_log.dropped:
            reports.append(f"{self.access_log.dropped} lines of the access log were dropped, since it is too slow")
        return reports

    def _gauges(self) -> None:
        if isinstance(self.state, GuardedState):
            self.state.on_failure = self.metrics.state_failures.inc
        self.metrics.gauge(names.IN_FLIGHT, "Requests being answered", lambda: self.in_flight)
        if self.keeping is not None:
            spool, drain = self.keeping.spool, self.keeping.drain
            self.metrics.gauge(names.SPOOL_LAG, "Bytes recorded and not in the database yet", lambda: spool.bytes)
            self.metrics.gauge(names.SPOOL_DROPPED, "Exchanges that could not be recorded", lambda: spool.dropped)
            self.metrics.gauge(names.STORED, "Exchanges stored in the database", lambda: drain.inserted)
            self.metrics.gauge(names.UNREADABLE, "Spooled records that could not be read", lambda: drain.unreadable)
            about = "Records that the database refused, set aside in the spool's folder quarantine"
            self.metrics.gauge(names.QUARANTINED, about, lambda: drain.quarantined)

    async def _load(self) -> None:
        async with asyncio.TaskGroup() as group:
            for name, backend in self.backends.items():
                group.create_task(self.readiness.watch(f"backend {name}", backend.open))
            if self.loader is not None:
                group.create_task(self.loader.load(self.readiness))
        self._log_unproven()
        told = controls_of(self.settings.prompt)
        if told and self.loaded.library is not None:
            log.info(told)

    def _log_unproven(self) -> None:
        """Log for each model which templates are not yet measured to help, and what measuring them would cost."""
        library, settings = self.loaded.library, self.settings
        if library is None or settings.prompt.mode is not Mode.PROVEN:
            return
        for model in models_of(settings).items():
            report = unproven(library, self._policy, model, settings.call_prices)
            if report is not None:
                log.info("%s", report)


def controls_of(prompt: PromptTable) -> str:
    """Return a message that says how many conversations stay unchanged as controls. Without the message, an unchanged
    conversation would look like a mistake. The message is "" if there are no controls.
    """
    if not prompt.mode.changes or not prompt.controls:
        return ""
    return (
        f"a template that the classifier chooses leaves {prompt.controls:.0%} of its conversations as they are, as "
        "controls ([prompt] controls), until the job `watch` finds the template no worse. Requests that ask for the "
        "mode `on` are never controls"
    )


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
