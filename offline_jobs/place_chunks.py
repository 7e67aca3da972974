"""The job `place-chunks`: a model writes, for each chunk of a collection, a line that places the chunk in its document.

The line becomes part of the chunk's index text. Only chunks whose question was not answered yet are asked about: new
ones, and those whose text, headings, title or document's beginning changed.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from msgspec import Struct

from gateway.ask import Turn
from gateway.context.ingest.placement import Placer, digest_of, questions, usable_line
from gateway.context.store.catalog import Catalog, Collection, catalog_file
from gateway.context.store.collections import OPERATOR, Collections
from gateway.context.store.placements import Placement, placements
from gateway.context.store.stored_documents import DocumentRow
from gateway.errors import DocumentGone, RequestError
from gateway.exchange import Chunk, Sampling
from gateway.settings.tables import Settings
from offline_jobs.engine.budget import Spent, cost
from offline_jobs.engine.embedding import open_embedder, open_vectors
from offline_jobs.engine.models import BYTES_A_TOKEN, JobModels, open_models
from offline_jobs.engine.registry import JobKind
from offline_jobs.engine.run import JobRun
from offline_jobs.errors import BudgetSpent, JobFailed

SAMPLING = Sampling(max_tokens=80, temperature=0.0)
REQUEST_TOKENS = 50
"""The tokens of a request besides its question, for the quote."""
BATCH = 32
"""The number of chunks that are asked about before their lines are stored."""
FAILURES = 8
"""After this many failed calls in a row, the job fails."""
PATIENCE_S = 30.0
"""The time to wait while another process writes to the catalog."""


class PlaceChunksOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The options of the job."""

    collection: str
    """The name or id of the collection."""
    model: str = ""
    """The model that writes the lines. Default: the default model."""
    again: bool = False
    """Whether to ask about chunks that have a line already, for example with a better model."""
    remove: bool = False
    """Whether to remove all lines of the collection. No model is asked."""


class PlaceChunksReport(Struct, frozen=True):
    """The numbers of chunks that got a line, of those whose answer could not be used, of those whose call failed, of
    those that the budget left for the next run, and of those whose line was removed."""

    collection: str
    model: str
    placed: int
    unusable: int
    failed: int
    left: int
    removed: int = 0


class OpenChunk(Struct, frozen=True):
    """A chunk without an answer to its question."""

    key: int
    chunk: Chunk
    question: str


def run(run: JobRun, options: PlaceChunksOptions) -> PlaceChunksReport:
    with _opened(run.settings) as collections:
        collection = _required(collections, options.collection)
        placer = Placer(collections, collection, open_embedder(run.settings), run.settings.data_folder / "ingest")
        placer.check()
        if options.remove:
            return PlaceChunksReport(collection.name, "", 0, 0, 0, 0, _remove(placer, run))
        return _place(placer, run, options)


def _place(placer: Placer, run: JobRun, options: PlaceChunksOptions) -> PlaceChunksReport:
    collections, collection = placer.collections, placer.collection
    with open_models(run) as loop:
        loop.models.exchange((), options.model)  # an unknown model is an error even if nothing is to be asked
        asking = _Asking(run, loop.models, options.model)
        left = 0
        for row in collections.documents(collection.id).live():
            waiting = _waiting(collections, collection, row, options.again)
            for first in range(0, len(waiting), BATCH):
                some = waiting[first : first + BATCH]
                answers = [answer for answer in loop.all(asking.line, [(row, chunk) for chunk in some]) if answer]
                _store(placer, row, some, dict(answers))
                left += len(some) - len(answers)
                asking.check()
        collections.catalog.scrub(collection.id)
        asking.check_budget()
    name = options.model or run.settings.routing.default
    return PlaceChunksReport(collection.name, name, asking.placed, asking.unusable, asking.failed, left - asking.failed)


def _remove(placer: Placer, run: JobRun) -> int:
    """Remove all lines, and return their number."""
    removed = 0
    for row in placer.collections.documents(placer.collection.id).live():
        run.check()
        waiting = _waiting(placer.collections, placer.collection, row, again=True)
        _store(placer, row, waiting, {chunk.key: Placement("", "") for chunk in waiting})
        removed += sum(bool(chunk.chunk.placement) for chunk in waiting)
    placer.collections.catalog.scrub(placer.collection.id)
    return removed


def estimate(settings: Settings, options: PlaceChunksOptions) -> Spent:
    """Return an upper bound of the cost of all chunks that would be asked about."""
    if options.remove:
        return Spent()
    with _opened(settings) as collections:
        collection = _required(collections, options.collection)
        rows = collections.documents(collection.id).live()
        waiting = [_waiting(collections, collection, row, options.again) for row in rows]
    prompts = [len(chunk.question.encode()) // BYTES_A_TOKEN + REQUEST_TOKENS for some in waiting for chunk in some]
    answers = len(prompts) * (SAMPLING.max_tokens or 0)
    money = cost(settings.call_prices, options.model or settings.routing.default, sum(prompts), answers)
    return Spent(len(prompts), sum(prompts) + answers, money)


class _Asking:
    """Asks the model about single chunks, and counts what came of it."""

    def __init__(self, run: JobRun, models: JobModels, model: str) -> None:
        self._run = run
        self._models = models
        self._model = model
        self._failures_in_a_row = 0
        self._failure = ""
        self.placed = self.unusable = self.failed = 0
        self._spent: BudgetSpent | None = None

    async def line(self, asked: tuple[DocumentRow, OpenChunk]) -> tuple[int, Placement] | None:
        """Return the key of a chunk and its placement. The result is None if the call failed, or if the budget has no
        room for it.
        """
        row, waiting = asked
        if self._spent or self._failures_in_a_row >= FAILURES:
            return None
        try:
            answer = await self._models.say([Turn("user", waiting.question)], self._model, SAMPLING)
        except BudgetSpent as spent:
            self._spent = spent
            return None
        except (RequestError, JobFailed) as error:
            self.failed += 1
            self._failures_in_a_row += 1
            self._failure = str(error)
            return None
        self._failures_in_a_row = 0
        line = usable_line(answer, row.label, waiting.chunk)
        self.placed += bool(line)
        self.unusable += not line
        return waiting.key, Placement(line, digest_of(waiting.question))

    def check_budget(self) -> None:
        """Raise `BudgetSpent` if the budget ended before the first answer."""
        if self._spent and not self.placed + self.unusable:
            raise self._spent

    def check(self) -> None:
        """Raise `JobFailed` if the model does not answer any more."""
        if self._failures_in_a_row >= FAILURES:
            raise JobFailed(
                f"{FAILURES} calls in a row failed, the last with: {self._failure}. "
                "Resume the job when the model answers again."
            )


def _waiting(collections: Collections, collection: Collection, row: DocumentRow, again: bool) -> list[OpenChunk]:
    """Return the chunks of a document whose questions were not answered. With `again`, return all chunks."""
    known = placements(collections.catalog, row.key)
    stored = collections.documents(collection.id).chunks(known)
    chunks = {key: stored[key][0] for key in known if key in stored}
    asked = zip(chunks.items(), questions(row.title or row.source, list(chunks.values())), strict=True)
    return [
        OpenChunk(key, chunk, question)
        for (key, chunk), question in asked
        if again or known[key].digest != digest_of(question)
    ]


def _store(placer: Placer, row: DocumentRow, waiting: Sequence[OpenChunk], answers: dict[int, Placement]) -> None:
    # the next run asks about a document that was replaced meanwhile
    with suppress(DocumentGone):
        placer.store(row.key, {chunk.key: chunk.chunk for chunk in waiting}, answers)


@contextmanager
def _opened(settings: Settings) -> Iterator[Collections]:
    """Open the configured collections. Raises `JobFailed` if there is no store."""
    collections = Collections(Catalog(catalog_file(settings.data_folder), PATIENCE_S), open_vectors(settings))
    try:
        yield collections
    finally:
        collections.close()


def _required(collections: Collections, name: str) -> Collection:
    collection = collections.find(name, OPERATOR)
    if collection is None:
        known = ", ".join(known.name or known.id for known in collections.readable(OPERATOR))
        raise JobFailed(f"there is no collection {name!r}. {f'Known: {known}' if known else 'There are none yet'}.")
    return collection


JOB = JobKind(
    "lets a model write lines that place the chunks of a collection in their documents",
    PlaceChunksOptions,
    run,
    estimate,
)
