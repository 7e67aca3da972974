"""Builds a gateway from settings. Heavy libraries are loaded later, by the gateway's `open`."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from gateway.adapters import Adapters, build_adapters
from gateway.assembly.gateway import Gateway, Recording
from gateway.assembly.request_path import StageParts, has_templates, request_path
from gateway.backends.call import Caller
from gateway.backends.calling.breaker import Breaker
from gateway.backends.calling.probes import Ping, ProbePlan, Probes, one_token
from gateway.backends.calling.retry import Retries
from gateway.backends.chat_over_messages import ChatOverMessages
from gateway.backends.complete import Completions
from gateway.backends.messages_over_chat import MessagesOverChat
from gateway.backends.probe_settings import ProbeSettings
from gateway.backends.remote import Remote
from gateway.backends.required_call import RequiredCalls
from gateway.backends.responses import ResponsesOverChat
from gateway.backends.routing.figures import LiveFigures
from gateway.context.fence import MarkOf, keyed_mark
from gateway.context.ingest.background_ingest import BackgroundEmbedder, BackgroundIngest
from gateway.context.ingest.ingest import new_ingest, recognition_of
from gateway.context.ingest.uploads import Uploads
from gateway.context.long.read import LongReader
from gateway.context.mark_secret import mark_secret
from gateway.context.reading.parse_pool import ParsePool
from gateway.errors import ConfigError
from gateway.loading import LateLoader
from gateway.mcp.servers import McpServers
from gateway.perform.performer import Performer
from gateway.perform.responder import Responder
from gateway.ports import Backend
from gateway.prompt.found.store import found_path
from gateway.prompt.found.table import FoundTable
from gateway.prompt.language.vocabulary import VOCABULARY
from gateway.prompt.policy.decide import RewritePolicy
from gateway.prompt.policy.gains import GainTable, gains_path, shipped_gains
from gateway.prompt.policy.standings import StandingTable, standings_path
from gateway.prompt.refine import RefinedPromptCache
from gateway.prompt.slots.extract import Extractor
from gateway.records.archive import RecordArchive
from gateway.records.drain import Drain
from gateway.records.locations import database_url, spool_folder
from gateway.records.object_owners import ObjectOwners
from gateway.records.policy import RecordPolicy
from gateway.records.spool import Spool
from gateway.settings.tables import Settings
from gateway.telemetry.metrics import Metrics
from gateway.wire.chat.answer import read_answer


def assemble(settings: Settings, *, only_prepare: bool = False) -> Gateway:
    """Build a gateway. Raises `ConfigError` with every mistake in the configuration.

    With `only_prepare`, the gateway records nothing. Commands that only show decisions set `only_prepare`.
    """
    VOCABULARY.use(settings.root / folder for folder in settings.prompt.languages)
    adapters, problems = build_adapters(settings)
    if adapters is None:
        raise ConfigError(problems)
    mixing = _mixing(adapters.backends)
    senders = {name: _sender(backend) for name, backend in adapters.backends.items()}
    routing, figures = settings.routing, LiveFigures(adapters.backends)
    metrics = Metrics(shared=settings.server.workers > 1)
    probes = Probes({} if only_prepare else dict(_probe_plans(adapters.backends, senders)), metrics.probed)
    caller = Caller(
        senders,
        adapters.state,
        breaker=Breaker(adapters.state, trip_after=routing.trip_after, rest_s=routing.rest_s),
        retries=Retries(routing.retries, routing.retry_wait_s, routing.retry_share),
        figures=figures,
        mixing=mixing,
        ejected=probes.ejected,
    )
    completions = Completions(caller, adapters.routes)
    keeping = None if only_prepare else _keeping(settings, metrics)
    mark_of = keyed_mark(mark_secret(settings.server.secret, settings.data_folder, makes=not only_prepare))
    parts = _stage_parts(
        settings, adapters, completions, figures, mixing, mark_of, keeping.archive if keeping else None
    )
    performer = Performer(caller, completions, settings.context.parallel_calls)
    loads_late = adapters.embedder is not None or has_templates(settings)
    return Gateway(
        settings,
        adapters,
        partial(request_path, parts),
        Responder(performer, adapters.backends, mark_of, parts.mcp),
        loader=LateLoader(settings, adapters.embedder, adapters.collections) if loads_late else None,
        mcp=parts.mcp,
        completions=completions,
        policy=parts.policy,
        found=parts.found,
        metrics=metrics,
        probes=probes,
        keeping=keeping,
        intake=None if only_prepare else _intake(settings, adapters),
        objects=ObjectOwners(partial(_engine, settings)),
    )


def _engine(settings: Settings) -> Any:
    # imported here: SQLAlchemy would add 0.3 s to the start
    from gateway.records.engine import engine_for, upgraded

    engine = engine_for(database_url(settings), wait_s=2.0)
    upgraded(engine)
    return engine


def _sender(backend: Backend) -> MessagesOverChat:
    """Wrap a backend in translations, so that the backend answers chat completions, responses and messages alike."""
    chat = RequiredCalls(ChatOverMessages(backend))
    return MessagesOverChat(ResponsesOverChat(chat), backend, backend.count_tokens)


def _probe_plans(
    backends: Mapping[str, Backend], senders: Mapping[str, MessagesOverChat]
) -> Iterator[tuple[str, ProbePlan]]:
    for name, backend in backends.items():
        if isinstance(backend, Remote) and backend.probe is not None:
            yield name, ProbePlan(backend.probe, _ping(backend, backend.probe, senders[name]))


def _ping(backend: Remote, probe: ProbeSettings, sender: MessagesOverChat) -> Ping:
    async def ask() -> int:
        reply = await sender.send(one_token(probe.model), probe.model, ())
        await reply.aclose()
        return reply.status

    return ask if probe.model else partial(backend.ping, probe.path)


def _stage_parts(
    settings: Settings,
    adapters: Adapters,
    completions: Completions,
    figures: LiveFigures,
    mixing: Mapping[str, Sequence[str]],
    mark_of: MarkOf,
    archive: RecordArchive | None,
) -> StageParts:
    def count(backend: str, text: str) -> int:
        return adapters.backends[backend].count_tokens(text)

    gains = GainTable(gains_path(settings.data_folder), shipped=shipped_gains())
    standings = StandingTable(standings_path(settings.data_folder), settings.prompt.controls)
    heeds = settings.prompt.gains == "use"
    return StageParts(
        settings,
        adapters,
        completions,
        figures,
        count,
        archive,
        mixing,
        policy=RewritePolicy(settings.templates, gains, heeds_losses=heeds, standings=standings),
        found=FoundTable(found_path(settings.data_folder), adapters.embedder),
        reader=LongReader(completions, settings.context.parallel_calls),
        refined=RefinedPromptCache(settings.refiner.cache_entries, settings.refiner.cache_ttl_s),
        extractor=Extractor(),
        mark_of=mark_of,
        mcp=McpServers(settings.mcp),
    )


def _intake(settings: Settings, adapters: Adapters) -> BackgroundIngest | None:
    collections, batcher = adapters.collections, adapters.embedder
    if collections is None or batcher is None:
        return None
    uploads = Uploads(collections.catalog, settings.data_folder / "files")
    read, behind = ParsePool(recognition=recognition_of(settings)), BackgroundEmbedder(batcher)
    ingest, longest_s = new_ingest(settings, collections, behind, read), settings.context.longest_ingest_s
    return BackgroundIngest(collections, uploads, ingest, read.close, readers=read.count, longest_s=longest_s)


def _mixing(backends: Mapping[str, Backend]) -> dict[str, list[str]]:
    """Map each backend that returns logits to the names of its models."""
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
    # an exchange from another worker is not in the database before that worker's next drain
    patience_s = records.drain_s + 0.5 if settings.server.workers > 1 else 0.0
    return Recording(spool, drain, RecordArchive(drain, patience_s=patience_s))
