"""Puts the parts together: from settings to a gateway that prepares, calls and records.

The path of a request is the tuple in `Gateway.steps`. Adapters come from the registry by their
kind; nothing heavy is imported before `open` starts to load it.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway import registry
from gateway.backends.call import Caller
from gateway.backends.complete import Completions
from gateway.backends.responses import ResponsesOverChat, speaks
from gateway.backends.route import Routes, RouteStage
from gateway.context.condense import CondenseStage
from gateway.context.embedding.batcher import Batcher
from gateway.context.file_search import FileSearchStage
from gateway.context.fit import FitStage
from gateway.context.ingest.background_ingest import BackgroundEmbedder, BackgroundIngest
from gateway.context.ingest.ingest import new_ingest
from gateway.context.ingest.uploads import Uploads
from gateway.context.reading.parse_process import ParseProcess
from gateway.context.retrieve import RetrieveStage
from gateway.context.store.catalog import Catalog, catalog_file
from gateway.context.store.collections import Collections
from gateway.errors import ConfigError, Problem
from gateway.exchange import Exchange, Target
from gateway.loading import LateLoader
from gateway.perform.performer import Performer
from gateway.perform.previous_response import PreviousResponseStage
from gateway.perform.responder import Responder
from gateway.pipeline import PipelineStep, prepare
from gateway.ports import Backend, Embedder, ExchangeOutcome, HotState, Reranker, Stage, VectorStore
from gateway.prompt.named_prompt import NamedPromptStage
from gateway.readiness import Readiness
from gateway.records.archive import RecordArchive
from gateway.records.drain import Drain
from gateway.records.locations import database_url, spool_folder
from gateway.records.policy import RecordPolicy, policy_problems
from gateway.records.spool import Spool
from gateway.settings import KindTable, Settings, decode, is_loopback
from gateway.telemetry import names
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.traces import Traces
from gateway.wire.chat.answer import read_answer

log = logging.getLogger("foreword.assembly")


class Parts(Struct):
    """What adapters may share. `embedder` is the one of `[embedder]` behind its worker thread."""

    settings: Settings
    embedder: Batcher | None = None


class Recording(Struct):
    """How exchanges are kept: the spool that takes them, and the drain that stores them."""

    spool: Spool
    drain: Drain
    archive: RecordArchive


class Gateway:
    """A configured gateway. Who creates it calls `open` on the event loop, and `aclose` at the end."""

    def __init__(
        self,
        settings: Settings,
        backends: dict[str, Backend],
        routes: Routes,
        state: HotState,
        steps: Sequence[PipelineStep],
        perform: Responder,
        *,
        learned: LateLoader | None = None,
        keeping: Recording | None = None,
        intake: BackgroundIngest | None = None,
    ) -> None:
        self.settings = settings
        self.backends = backends
        self.routes = routes
        self.state = state
        self.steps = tuple(steps)
        self.perform = perform
        self.learned = learned
        self.keeping = keeping
        self.intake = intake
        self.metrics = Metrics(shared=settings.server.workers > 1)
        self.traces = None if settings.telemetry.traces == "off" else Traces(settings.telemetry)
        self.readiness = Readiness()
        self.in_flight = 0
        self._stack = AsyncExitStack()
        self._gauges()

    @property
    def archive(self) -> RecordArchive | None:
        return self.keeping.archive if self.keeping else None

    async def open(self) -> None:
        """Start loading in the background; returns at once."""
        stack = self._stack
        stack.push_async_callback(self.state.aclose)
        for backend in self.backends.values():
            stack.push_async_callback(backend.aclose)
        if self.learned is not None:
            stack.push_async_callback(self.learned.aclose)
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
        if self.learned is not None:
            stack.push_async_callback(_cancelled, asyncio.create_task(self.learned.watch(), name="watch"))

    async def aclose(self) -> None:
        await self._stack.aclose()

    async def load_prompt(self) -> None:
        """Load what `prepare` needs and wait for it: for a command that prepares one request."""
        if self.learned is not None:
            self._stack.push_async_callback(self.learned.aclose)
            await self.learned.load(self.readiness)

    async def prepare(self, exchange: Exchange) -> Exchange:
        return await prepare(exchange, self.steps)

    def over(self, exchange: Exchange, outcome: ExchangeOutcome, traceparent: str = "") -> None:
        """An exchange has ended: count it, trace it, hand it to the spool. Never waits, never raises."""
        self.metrics.count(exchange, outcome)
        if self.traces is not None:
            self.traces.add(exchange, outcome, traceparent)
        if self.keeping is not None:
            self.keeping.spool.record(exchange, outcome)

    def reports(self) -> list[str]:
        """What an operator should know although everything is ready."""
        found = self.learned.reports() if self.learned else []
        if self.keeping is not None and self.keeping.drain.failing:
            # without the reason, which may name the database's address
            found.append("records stay in the spool, since the database cannot be used; the log has the reason")
        return found

    def _gauges(self) -> None:
        self.metrics.gauge(names.IN_FLIGHT, "Requests being answered", lambda: self.in_flight)
        if self.keeping is not None:
            spool, drain = self.keeping.spool, self.keeping.drain
            self.metrics.gauge(names.SPOOL_LAG, "Bytes recorded and not in the database yet", lambda: spool.bytes)
            self.metrics.gauge(names.SPOOL_DROPPED, "Exchanges that could not be recorded", lambda: spool.dropped)
            self.metrics.gauge(names.STORED, "Exchanges stored in the database", lambda: drain.inserted)
            self.metrics.gauge(names.UNREADABLE, "Spooled records that could not be read", lambda: drain.unreadable)

    async def _load(self) -> None:
        async with asyncio.TaskGroup() as group:
            for name, backend in self.backends.items():
                group.create_task(self.readiness.watch(f"backend {name}", backend.open))
            if self.learned is not None:
                group.create_task(self.learned.load(self.readiness))


class Adapters(Struct):
    """Everything that the configuration names, built but not opened."""

    state: HotState
    backends: dict[str, Backend]
    routes: Routes
    embedder: Batcher | None = None
    collections: Collections | None = None


def assemble(settings: Settings, *, only_prepare: bool = False) -> Gateway:
    """Build a gateway. Raises `ConfigError` with everything that is wrong with the configuration.

    `only_prepare`: for looking at decisions; nothing is recorded.
    """
    adapters, problems = _adapters(settings)
    if adapters is None:
        raise ConfigError(problems)

    def count(backend: str, text: str) -> int:
        return adapters.backends[backend].count_tokens(text)

    mixing = _mixing(adapters.backends)
    caller = Caller(
        {name: ResponsesOverChat(backend) for name, backend in adapters.backends.items()}, adapters.state, mixing=mixing
    )
    completions = Completions(caller, adapters.routes)
    retrieve = RetrieveStage(settings.context, count)
    learned = None
    if adapters.embedder or _has_templates(settings):
        learned = LateLoader(settings, adapters.embedder, adapters.collections, retrieve, completions)
    search = FileSearchStage(retrieve, adapters.collections, _hosting(adapters.backends))
    condense = CondenseStage(
        settings.context, count, completions, mixing=mixing, embed=lambda: learned.rewrite.embed if learned else None
    )
    keeping = None if only_prepare else _keeping(settings)
    earlier = PreviousResponseStage(keeping.archive if keeping else None)
    return Gateway(
        settings,
        adapters.backends,
        adapters.routes,
        adapters.state,
        _steps(settings, adapters.routes, learned, earlier, search, (retrieve, condense, FitStage(count))),
        Responder(Performer(caller, completions), adapters.backends),
        learned=learned,
        keeping=keeping,
        intake=None if only_prepare else _intake(settings, adapters),
    )


def _intake(settings: Settings, adapters: Adapters) -> BackgroundIngest | None:
    collections, batcher = adapters.collections, adapters.embedder
    if collections is None or batcher is None:
        return None
    uploads = Uploads(collections.catalog, settings.data_folder / "files")
    read, behind = ParseProcess(), BackgroundEmbedder(batcher)
    return BackgroundIngest(collections, uploads, new_ingest(settings, collections, behind, read), read.close)


def _has_templates(settings: Settings) -> bool:
    """Whether there is anything to ask for by name. Without an embedder nobody must have templates."""
    folders = settings.prompt.templates
    return bool(folders) and all((settings.root / folder).is_dir() for folder in folders)


def _hosting(backends: Mapping[str, Backend]) -> Callable[[Target], bool]:
    """Whether a target speaks `/v1/responses` itself, so that hosted tools are its own to run."""
    return lambda target: speaks(backends[target.backend], target.model)


def _mixing(backends: Mapping[str, Backend]) -> dict[str, list[str]]:
    """The backends whose logits can be had, and their models."""
    able = {name: [card.name for card in backend.models() if card.logits] for name, backend in backends.items()}
    return {name: models for name, models in able.items() if models}


def _steps(
    settings: Settings,
    routes: Routes,
    learned: LateLoader | None,
    earlier: Stage,
    search: Stage,
    context: Sequence[Stage],
) -> tuple[PipelineStep, ...]:
    """The path of a request. Routing is first: an unknown model is answered before any work is done for it."""
    prompt_s = settings.prompt.budget_ms / 1000
    improving: tuple[PipelineStep, ...] = ()
    if learned is not None and learned.classifies:
        # the rewrite keeps its own time: the calls that a template makes first have budgets of their own
        improving = (
            PipelineStep(learned.classify, prompt_s, improves=True),
            PipelineStep(learned.rewrite, improves=True),
        )
        if settings.refiner.model:
            improving += (PipelineStep(learned.refine, improves=True),)
    return (
        PipelineStep(RouteStage(routes, settings.prompt.mode, settings.prompt.canary)),
        # what these three leave undone would be another request than the client's
        PipelineStep(earlier, must=True),
        PipelineStep(NamedPromptStage(learned.rewrite if learned is not None else None), must=True),
        *improving,
        PipelineStep(search, must=True),
        *[PipelineStep(stage) for stage in context],
    )


def problems_of(settings: Settings) -> list[Problem]:
    """Everything that is wrong with the parts that a configuration names. Opens and writes nothing."""
    return _adapters(settings)[1]


def _adapters(settings: Settings) -> tuple[Adapters | None, list[Problem]]:
    problems = list(policy_problems(settings))
    parts = Parts(settings)
    state: HotState | None = build_adapter("state", "state", settings.state, parts, problems)
    store: VectorStore | None = None
    if settings.embedder is not None:
        embedder: Embedder | None = build_adapter("embedders", "embedder", settings.embedder, parts, problems)
        parts.embedder = Batcher(embedder) if embedder else None
    if settings.store is not None:
        store = build_adapter("stores", "store", settings.store, parts, problems)
    reranker = reranker_of(settings, parts, problems)
    backends: dict[str, Backend] = {}
    for name, table in settings.backends.items():
        backend = build_adapter("backends", name, table, parts, problems)
        if backend is not None:
            backends[name] = backend
    routes = Routes(settings.models, backends, settings.routing.default)
    # what a broken backend would have offered is unknown, so its models are not called unknown
    if len(backends) == len(settings.backends):
        problems += routes.problems(settings.file, refiner=settings.refiner.model)
    problems += _server_problems(settings)
    if problems or state is None:
        return None, problems
    catalog = Catalog(catalog_file(settings.data_folder))
    collections = Collections(catalog, store, reranker, settings.context.rerank) if store else None
    return Adapters(state, backends, routes, parts.embedder, collections), []


def _keeping(settings: Settings) -> Recording | None:
    policies = {settings.records.policy, *(key.record for key in settings.keys.values() if key.record)}
    if policies == {RecordPolicy.NONE}:
        return None
    spool = Spool(spool_folder(settings), settings.records.policy, read_answer=read_answer)

    def opened() -> Any:
        # imported here: SQLAlchemy would cost the start 0.3 s
        from gateway.records.database import Database

        return Database.open(database_url(settings))

    records = settings.records
    drain = Drain(spool, opened, read_answer, records.drain_s, retention_days=records.retention_days)
    # another worker's exchange is in the database after its next drain
    patience_s = records.drain_s + 0.5 if settings.server.workers > 1 else 0.0
    return Recording(spool, drain, RecordArchive(drain, patience_s=patience_s))


def _server_problems(settings: Settings) -> list[Problem]:
    """What fits no single table: who may reach the port, and what several workers need."""
    file, server = settings.file, settings.server
    found = []
    if not settings.backends:
        remedy = 'Add a table such as [backends.local] with kind = "llamacpp".'
        found.append(Problem(f"{file} [backends]", "there is no backend, so nothing can answer", remedy))
    if not is_loopback(server.host) and not settings.keys:
        remedy = "Add a [keys.name] table, or listen on 127.0.0.1."
        found.append(Problem(f"{file} [server] host", f"{server.host} is open to others and there is no key", remedy))
    if server.workers > 1 and settings.state.kind == "memory":
        remedy = 'Add [state] kind = "redis" with a url.'
        found.append(Problem(f"{file} [server] workers", "several workers need a state they share", remedy))
    if settings.store is not None and settings.embedder is None:
        remedy = 'Add [embedder] with kind = "sentence".'
        found.append(Problem(f"{file} [store]", "a store needs an embedder", remedy))
    for folder in settings.prompt.templates if settings.embedder is not None else ():
        if not (settings.root / folder).is_dir():
            where, what = f"{file} [prompt] templates", f"{folder!r} is not a folder"
            found.append(Problem(where, what, f"It is looked for from {settings.root}."))
    for name, key in settings.keys.items():
        if bool(key.secret) == bool(key.sha256):
            found.append(Problem(f"{file} [keys.{name}]", "needs either sha256 or secret"))
    return found


def reranker_of(settings: Settings, parts: Parts, problems: list[Problem]) -> Reranker | None:
    if settings.reranker is None:
        return None
    made: Reranker | None = build_adapter("rerankers", "reranker", settings.reranker, parts, problems)
    return made


def build_adapter(group: str, name: str, table: KindTable, parts: Parts, problems: list[Problem]) -> Any:
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
        wrong = [replace(one, where=f"{table.where} {one.where}") for one in kind.check(settings, parts.settings.root)]
    problems += wrong
    if wrong:
        return None
    try:
        return kind.build(name, settings, parts)
    except ConfigError as error:
        problems += error.problems
        return None


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
