"""The list of stages for a request, built from the loaded parts."""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from gateway.adapters import Adapters
from gateway.ask import Endpoint
from gateway.backends.complete import Completions
from gateway.backends.responses import speaks
from gateway.backends.routing.by_intent import IntentRouteStage
from gateway.backends.routing.figures import LiveFigures
from gateway.backends.routing.stage import RouteStage
from gateway.context.condense import CondenseStage
from gateway.context.fence import MarkOf
from gateway.context.file_search import FileSearchStage
from gateway.context.fit import FitStage
from gateway.context.long.read import LongReader
from gateway.context.retrieve import RetrieveStage
from gateway.context.window import Count
from gateway.exchange import Target
from gateway.loaded import Loaded
from gateway.mcp.servers import McpServers
from gateway.perform.mcp.stage import McpStage
from gateway.perform.previous_response import PreviousResponseStage
from gateway.pipeline import PipelineStep
from gateway.ports import Backend, Stage
from gateway.prompt.classify import ClassifyStage
from gateway.prompt.found.table import FoundTable
from gateway.prompt.named_prompt import NamedPromptStage
from gateway.prompt.policy.decide import RewritePolicy
from gateway.prompt.recognise import RecogniseStage
from gateway.prompt.refine import RefinedPromptCache, RefineStage
from gateway.prompt.requested_template import RequestedTemplateStage
from gateway.prompt.rewrite import RewriteStage
from gateway.prompt.slots.extract import Extractor
from gateway.prompt.swap import SwapStage
from gateway.prompt.whole import WholeStage
from gateway.records.archive import RecordArchive
from gateway.settings.tables import Settings


class StageParts(Struct):
    """The parts from which the stages are built. A reload of the templates keeps these parts and their caches."""

    settings: Settings
    adapters: Adapters
    completions: Completions
    figures: LiveFigures
    count: Count
    archive: RecordArchive | None
    mixing: Mapping[str, Sequence[str]]
    """Maps each backend that returns logits to the names of its models."""
    policy: RewritePolicy
    found: FoundTable
    reader: LongReader
    refined: RefinedPromptCache
    extractor: Extractor
    mark_of: MarkOf
    mcp: McpServers


def request_path(parts: StageParts, loaded: Loaded) -> tuple[PipelineStep, ...]:
    """Return the steps in the order in which they run."""
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
    retrieve = RetrieveStage(
        settings.context, count, embed=loaded.embed, collections=loaded.collections, mark_of=parts.mark_of
    )
    hosts = _hosting(backends)
    route = RouteStage(routes, settings.prompt.mode, settings.prompt.canary, live=parts.figures)
    swap = SwapStage(settings.prompt, parts.found, parts.adapters.state, loaded.embed, route.other_model)
    return (
        # first, so that a request for an unknown model is refused before any work
        PipelineStep(route),
        # with `must`: without this step the request would mean something else, so a failure must fail the request
        PipelineStep(PreviousResponseStage(parts.archive), must=True),
        # in every mode, and before a named prompt adds text of its own
        PipelineStep(RecogniseStage(parts.found)),
        PipelineStep(swap, improves=True),
        PipelineStep(NamedPromptStage(templates), must=True),
        PipelineStep(RequestedTemplateStage(templates), must=True),
        *optional(classifies, ClassifyStage(loaded.classifier), budget_s=settings.prompt.budget_ms / 1000),
        # in every mode, since it changes no prompt
        *((PipelineStep(IntentRouteStage(routes)),) if routes.intents else ()),
        # no budget: each of a template's first calls has its own
        *optional(classifies, rewrite),
        *optional(refines, RefineStage(settings.refiner, completions, loaded.library, parts.refined, parts.policy)),
        PipelineStep(McpStage(parts.mcp, hosts), must=True),
        PipelineStep(FileSearchStage(retrieve, stores, lambda target: hosts(target, Endpoint.RESPONSES)), must=True),
        PipelineStep(retrieve),
        PipelineStep(CondenseStage(settings.context, count, parts.reader, loaded.embed, parts.mixing)),
        PipelineStep(FitStage(count)),
        # last, so that this stage sees the prompt that is sent
        PipelineStep(WholeStage(), improves=True),
    )


def optional(there: bool, stage: Stage, budget_s: float = 0.0) -> tuple[PipelineStep, ...]:
    """Return the step that runs `stage`, which only improves the prompt. If `there` is False, return no step."""
    return (PipelineStep(stage, budget_s, improves=True),) if there else ()


def has_templates(settings: Settings) -> bool:
    """Whether a request can name a template: template folders are configured, and all of them exist."""
    folders = settings.prompt.templates
    return bool(folders) and all((settings.root / folder).is_dir() for folder in folders)


def _hosting(backends: Mapping[str, Backend]) -> Callable[[Target, Endpoint], bool]:
    """Return a function that tells whether a target serves an endpoint itself. Such a target may also run hosted
    tools.
    """
    return lambda target, endpoint: speaks(backends[target.backend], target.model, endpoint)
