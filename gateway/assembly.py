"""Builds a gateway from settings: it prepares, calls and records.

The path of a request is the list in `path`. It is built again whenever a part was loaded, which takes
microseconds: stages get the loaded parts in their constructors and never change. No heavy library is imported
before `open` starts loading.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from msgspec import Struct

from gateway.adapters import Adapters, build_adapters
from gateway.backends.call import Caller
from gateway.backends.complete import Completions
from gateway.backends.required_call import RequiredCalls
from gateway.backends.responses import ResponsesOverChat, speaks
from gateway.backends.route import RouteStage
from gateway.context.condense import CondenseStage
from gateway.context.file_search import FileSearchStage
from gateway.context.fit import FitStage
from gateway.context.ingest.background_ingest import BackgroundEmbedder, BackgroundIngest
from gateway.context.ingest.ingest import new_ingest
from gateway.context.ingest.uploads import Uploads
from gateway.context.long.meaning import Meaning
from gateway.context.long.read import LongReader
from gateway.context.reading.parse_process import ParseProcess
from gateway.context.retrieve import RetrieveStage
from gateway.context.window import Count
from gateway.errors import ConfigError
from gateway.exchange import Exchange, Target
from gateway.loaded import NOTHING, Loaded
from gateway.loading import LateLoader
from gateway.perform.performer import Performer
from gateway.perform.previous_response import PreviousResponseStage
from gateway.perform.responder import Responder
from gateway.pipeline import PipelineStep, prepare
from gateway.ports import Backend, ExchangeOutcome, Stage
from gateway.prompt.classify import ClassifyStage
from gateway.prompt.named_prompt import NamedPromptStage
from gateway.prompt.policy.decide import RewritePolicy
from gateway.prompt.policy.gains import GainTable, gains_path
from gateway.prompt.refine import RefinedPromptCache, RefineStage
from gateway.prompt.requested_template import RequestedTemplateStage
from gateway.prompt.rewrite import RewriteStage
from gateway.prompt.slots.extract import Extractor
from gateway.prompt.whole import WholeStage
from gateway.readiness import Readiness
from gateway.records.archive import RecordArchive
from gateway.records.drain import Drain
from gateway.records.locations import database_url, spool_folder
from gateway.records.policy import RecordPolicy
from gateway.records.spool import Spool
from gateway.settings import Settings
from gateway.state.outage import GuardedState
from gateway.telemetry import names
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.traces import Traces
from gateway.wire.chat.answer import read_answer

log = logging.getLogger("foreword.assembly")


class Recording(Struct):
    """The recorder: the spool takes exchanges, the drain stores them, the archive reads them."""

    spool: Spool
    drain: Drain
    archive: RecordArchive


Path = Callable[[Loaded], tuple[PipelineStep, ...]]


class Gateway:
    """A configured gateway. The creator calls `open` on the event loop, and `aclose` at the end."""

    def __init__(
        self,
        settings: Settings,
        adapters: Adapters,
        path: Path,
        perform: Responder,
        *,
        completions: Completions,
        policy: RewritePolicy,
        loader: LateLoader | None = None,
        metrics: Metrics,
        keeping: Recording | None = None,
        intake: BackgroundIngest | None = None,
    ) -> None:
        self.settings = settings
        self.backends = adapters.backends
        self.routes = adapters.routes
        self.state = adapters.state
        self.perform = perform
        self.completions = completions
        self.loader = loader
        self.keeping = keeping
        self.intake = intake
        self.metrics = metrics
        self.traces = None if settings.telemetry.traces == "off" else Traces(settings.telemetry)
        self.readiness = Readiness()
        self.in_flight = 0
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
        """The parts that are loaded. Read it once a request, since it may be replaced at any `await`."""
        return self.loader.current if self.loader else NOTHING

    @property
    def steps(self) -> tuple[PipelineStep, ...]:
        """The path of a request, built from the loaded parts."""
        loaded = self.loaded
        if loaded is not self._built_from:
            self._built_from, self._steps = loaded, self._path(loaded)
        return self._steps

    async def open(self) -> None:
        """Start loading in the background. Returns at once."""
        stack = self._stack
        stack.push_async_callback(self.state.aclose)
        for backend in self.backends.values():
            stack.push_async_callback(backend.aclose)
        if self.loader is not None:
            stack.push_async_callback(self.loader.aclose)
        if self.intake is not None:
            stack.push_async_callback(self.intake.aclose)
            self.intake.open()
        if self.traces is not None:
            stack.callback(self.traces.close)
        if self.keeping is not None:
            stack.push_async_callback(self.keeping.drain.aclose)
            stack.push_async_callback(_cancelled, asyncio.create_task(self.keeping.drain.run(), name="drain"))
        self.readiness.expect(*[f"backend {name}" for name in self.backends])
        stack.push_async_callback(_cancelled, asyncio.create_task(self._load(), name="load"))
        if self.loader is not None:
            stack.push_async_callback(_cancelled, asyncio.create_task(self.loader.watch(), name="watch"))

    async def aclose(self) -> None:
        await self._stack.aclose()

    async def load_prompt(self) -> None:
        """Load everything that `prepare` needs, and wait for it. For commands that prepare a single request."""
        if self.loader is not None:
            self._stack.push_async_callback(self.loader.aclose)
            await self.loader.load(self.readiness)

    async def prepare(self, exchange: Exchange) -> Exchange:
        return await prepare(exchange, self.steps)

    def over(self, exchange: Exchange, outcome: ExchangeOutcome, traceparent: str = "") -> None:
        """Count, trace and record an exchange that has ended. Never waits, never raises."""
        self.metrics.count(exchange, outcome)
        if self.traces is not None:
            self.traces.add(exchange, outcome, traceparent)
        if self.keeping is not None:
            self.keeping.spool.record(exchange, outcome)

    def reports(self) -> list[str]:
        """Messages for the operator, also when everything is ready."""
        reports = self.loader.reports() if self.loader else []
        library = self.loaded.library
        if library is not None:
            reports += self._policy.unknown_templates({template.id for template in library.templates})
        if isinstance(self.state, GuardedState) and self.state.gone:
            reports.append("the shared state cannot be reached, so limits are not counted; the log has the reason")
        if self.keeping is not None and self.keeping.drain.failing:
            # the reason is left out, since it may name the database's address
            reports.append("records stay in the spool, since the database cannot be used; the log has the reason")
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


class StageParts(Struct):
    """The parts from which the stages are built, among them caches that outlive a reload."""

    settings: Settings
    adapters: Adapters
    completions: Completions
    count: Count
    archive: RecordArchive | None
    mixing: Mapping[str, Sequence[str]]
    """The backends that return logits, and the names of their models."""
    policy: RewritePolicy
    reader: LongReader
    refined: RefinedPromptCache
    extractor: Extractor
    meaning: Meaning


def path(parts: StageParts, loaded: Loaded) -> tuple[PipelineStep, ...]:
    """The path of a request, from top to bottom."""
    settings, count, completions = parts.settings, parts.count, parts.completions
    routes, backends, stores = parts.adapters.routes, parts.adapters.backends, parts.adapters.collections
    classifies = parts.adapters.embedder is not None
    refines = classifies and bool(settings.refiner.model)
    rewrite = RewriteStage(
        settings.prompt,
        loaded.library,
        loaded.pools,
        loaded.embed,
        completions,
        parts.policy,
        store=loaded.collections,
        extractor=parts.extractor,
    )
    templates = rewrite if has_templates(settings) else None
    retrieve = RetrieveStage(settings.context, count, embed=loaded.embed, collections=loaded.collections)
    return (
        # first, so that an unknown model is refused before any work
        PipelineStep(RouteStage(routes, settings.prompt.mode, settings.prompt.canary)),
        # a failure of a step with `must` is the request's failure, since without it the request would mean something
        # else
        PipelineStep(PreviousResponseStage(parts.archive), must=True),
        PipelineStep(NamedPromptStage(templates), must=True),
        PipelineStep(RequestedTemplateStage(templates), must=True),
        *optional(classifies, ClassifyStage(loaded.classifier), budget_s=settings.prompt.budget_ms / 1000),
        # no budget here: a template's first calls have budgets of their own
        *optional(classifies, rewrite),
        *optional(refines, RefineStage(settings.refiner, completions, loaded.library, parts.refined)),
        PipelineStep(FileSearchStage(retrieve, stores, _hosting(backends)), must=True),
        PipelineStep(retrieve),
        PipelineStep(CondenseStage(settings.context, count, parts.reader, parts.meaning, loaded.embed, parts.mixing)),
        PipelineStep(FitStage(count)),
        # last, so that it sees what is sent
        PipelineStep(WholeStage(), improves=True),
    )


def optional(there: bool, stage: Stage, budget_s: float = 0.0) -> tuple[PipelineStep, ...]:
    """A step that only improves the prompt, or no step if the configuration does not have it."""
    return (PipelineStep(stage, budget_s, improves=True),) if there else ()


def assemble(settings: Settings, *, only_prepare: bool = False) -> Gateway:
    """Build a gateway. Raises `ConfigError` with every mistake in the configuration.

    `only_prepare`: for commands that only show decisions. Nothing is recorded then.
    """
    adapters, problems = build_adapters(settings)
    if adapters is None:
        raise ConfigError(problems)
    mixing = _mixing(adapters.backends)
    senders = {name: ResponsesOverChat(RequiredCalls(backend)) for name, backend in adapters.backends.items()}
    caller = Caller(senders, adapters.state, mixing=mixing)
    completions = Completions(caller, adapters.routes)
    metrics = Metrics(shared=settings.server.workers > 1)
    keeping = None if only_prepare else _keeping(settings, metrics)
    parts = _stage_parts(settings, adapters, completions, mixing, keeping.archive if keeping else None)
    loads_late = adapters.embedder is not None or has_templates(settings)
    return Gateway(
        settings,
        adapters,
        partial(path, parts),
        Responder(Performer(caller, completions), adapters.backends),
        loader=LateLoader(settings, adapters.embedder, adapters.collections) if loads_late else None,
        completions=completions,
        policy=parts.policy,
        metrics=metrics,
        keeping=keeping,
        intake=None if only_prepare else _intake(settings, adapters),
    )


def _stage_parts(
    settings: Settings,
    adapters: Adapters,
    completions: Completions,
    mixing: Mapping[str, Sequence[str]],
    archive: RecordArchive | None,
) -> StageParts:
    def count(backend: str, text: str) -> int:
        return adapters.backends[backend].count_tokens(text)

    gains = GainTable(gains_path(settings.data_folder)) if settings.prompt.gains == "use" else None
    return StageParts(
        settings,
        adapters,
        completions,
        count,
        archive,
        mixing,
        policy=RewritePolicy(settings.templates, gains),
        reader=LongReader(completions, settings.context.parallel_calls),
        refined=RefinedPromptCache(settings.refiner.cache_entries, settings.refiner.cache_ttl_s),
        extractor=Extractor(),
        meaning=Meaning(),
    )


def _intake(settings: Settings, adapters: Adapters) -> BackgroundIngest | None:
    collections, batcher = adapters.collections, adapters.embedder
    if collections is None or batcher is None:
        return None
    uploads = Uploads(collections.catalog, settings.data_folder / "files")
    read, behind = ParseProcess(), BackgroundEmbedder(batcher)
    return BackgroundIngest(collections, uploads, new_ingest(settings, collections, behind, read), read.close)


def has_templates(settings: Settings) -> bool:
    """Whether a request can name a template. Without an embedder, the template folders need not exist."""
    folders = settings.prompt.templates
    return bool(folders) and all((settings.root / folder).is_dir() for folder in folders)


def _hosting(backends: Mapping[str, Backend]) -> Callable[[Target], bool]:
    """Make a function that returns whether a target serves `/v1/responses` itself, and therefore runs hosted tools."""
    return lambda target: speaks(backends[target.backend], target.model)


def _mixing(backends: Mapping[str, Backend]) -> dict[str, list[str]]:
    """The backends that return logits, and the names of their models."""
    able = {name: [card.name for card in backend.models() if card.logits] for name, backend in backends.items()}
    return {name: models for name, models in able.items() if models}


def _keeping(settings: Settings, metrics: Metrics) -> Recording | None:
    policies = {settings.records.policy, *(key.record for key in settings.keys.values() if key.record)}
    if policies == {RecordPolicy.NONE}:
        return None
    read = metrics.counting_tokens(read_answer)
    spool = Spool(spool_folder(settings), settings.records.policy, read_answer=read)

    def opened(wait_s: float = 10.0) -> Any:
        # imported here: SQLAlchemy would add 0.3 s to the start
        from gateway.records.database import Database

        return Database.open(database_url(settings), wait_s=wait_s)

    records = settings.records
    drain = Drain(
        spool,
        opened,
        read,
        records.drain_s,
        retention_days=records.retention_days,
        open_for_reading=lambda: opened(wait_s=1.2),
    )
    # an exchange of another worker is in the database only after that worker's next drain
    patience_s = records.drain_s + 0.5 if settings.server.workers > 1 else 0.0
    return Recording(spool, drain, RecordArchive(drain, patience_s=patience_s))


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
