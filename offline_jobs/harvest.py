"""The job `harvest`: makes a dataset version from recorded failures, successes, and prompts that no template fits.

The window is cut into portions. Each portion is a step and can run on any executor: its exchanges are read, judged and
scrubbed, and each row gets a MinHash signature. Then near-duplicates are removed, and the prompts that no template fits
are clustered. Memory holds only the signatures of rows, not their texts.
"""

import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from gateway.records.locations import database_url
from gateway.settings.tables import Settings
from offline_jobs.datasets import dataset
from offline_jobs.datasets.judge_records import library_of, row_of
from offline_jobs.datasets.near_duplicates import HASHES, distinct_rows, signature
from offline_jobs.datasets.recorded import PORTION, Portion, RecordWindow, portions, read
from offline_jobs.datasets.rows import DatasetRow, What
from offline_jobs.engine.budget import Spent
from offline_jobs.engine.registry import JobKind
from offline_jobs.engine.run import JobRun
from offline_jobs.engine.since import at
from offline_jobs.found import harvest as found_harvest

GROUPED = 4000
"""At most this many prompts are clustered. Memory grows with the square of this number."""
KINDS = tuple(What)
_row = msgspec.json.Decoder(DatasetRow)


class HarvestOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The options of a harvest."""

    name: str = "harvest"
    """The name of the dataset."""
    since: str = "7d"
    """The start of the window: an age such as 7d, or a date."""
    until: str = ""
    """The end of the window. Default: now."""
    model: str = ""
    """Read only requests for this model."""
    intent: str = ""
    """Read only prompts of this intent."""
    template: str = ""
    """Read only prompts that this template rewrote."""
    key: str = ""
    """Read only requests with this key."""
    keep: tuple[str, ...] = (What.FAILURE, What.SUCCESS, What.UNFITTED)
    """The kinds of rows to keep: failure, success, unfitted, unscored."""
    judge: int = 0
    """The largest number of unscored answers that the model `[jobs] judge` scores."""
    most: int = 100_000
    """The largest number of rows of each kind."""
    groups: bool = True
    """Whether to cluster the prompts that no template fits."""
    portion: int = PORTION
    """The number of exchanges per step."""
    prompt: str = ""
    """Make rows from the requests of this found prompt, with the values of its parts. Other filters do not count."""
    answers_by: str = ""
    """A stronger model that answers rows of a found prompt without a right answer. `--dry-run` gives the quote."""
    answers: int = 100
    """The largest number of rows that `answers_by` answers."""


class HarvestPortion(Struct, frozen=True):
    """One portion to read."""

    url: str
    folders: tuple[str, ...]
    window: RecordWindow
    portion: Portion
    keep: tuple[str, ...]
    into: str


class HarvestedPortion(Struct, frozen=True):
    """The result for a portion: the file with its rows, and the numbers of rows, of exchanges read, and of secrets
    removed."""

    file: str
    rows: int
    seen: int
    secrets: int


class HarvestReport(Struct, frozen=True):
    dataset: str
    rows: int
    counts: Mapping[str, int]
    groups: Sequence[Any] = ()


def run(run: JobRun, options: HarvestOptions) -> HarvestReport | found_harvest.FoundHarvestReport:
    if options.prompt:
        return found_harvest.run(run, _for_prompt(options))
    window = run.step("window", options, lambda: _window(options), RecordWindow)
    url = database_url(run.settings)
    folders = tuple(str((run.settings.root / folder).resolve()) for folder in run.settings.prompt.templates)
    parts = run.step(
        "portions", [window, options.portion], lambda: portions(url, window, options.portion), list[Portion]
    )
    keep = (*options.keep, What.UNSCORED) if options.judge else options.keep
    into = run.folder / "parts"
    into.mkdir(exist_ok=True)
    harvested = _take_all(run, [HarvestPortion(url, folders, window, part, keep, str(into)) for part in parts])
    judged = _judged(run, options, harvested)
    table = _table(harvested)
    kinds = [number for number, kind in enumerate(KINDS) if judged or kind is not What.UNSCORED]
    chosen = distinct_rows(table["what"], table["labelled"], table["signatures"], kinds, options.most)
    counts = _counts(harvested, table["what"], chosen)
    rows = _rows(harvested, chosen, judged)
    made = dataset.write(
        run.settings.data_folder,
        options.name,
        rows,
        counts=counts,
        query=msgspec.to_builtins(
            {"window": window, "keep": options.keep, "most": options.most, "judge": options.judge}
        ),
        job=run.job.id,
    )
    groups = _groups(run, made) if options.groups else ()
    shutil.rmtree(into, ignore_errors=True)
    return HarvestReport(made.ref, made.rows, counts, groups)


def estimate(settings: Settings, options: HarvestOptions) -> Spent:
    """Return the cost of the judge's calls. Everything else is free."""
    if options.prompt:
        return found_harvest.estimate(settings, _for_prompt(options))
    return Spent(calls=options.judge, tokens=options.judge * 700)


def _for_prompt(options: HarvestOptions) -> found_harvest.FoundHarvestOptions:
    return found_harvest.FoundHarvestOptions(
        options.prompt, options.name, options.since, options.most, options.answers_by, options.answers
    )


def take(part: HarvestPortion) -> HarvestedPortion:
    """Read one portion, and write its rows and signatures to files. Runs on an executor."""
    library = library_of(part.folders)
    base = Path(part.into) / f"{part.portion.number:06d}"
    draft = base.with_suffix(".tmp")
    seen, secrets = 0, Counter[str]()
    signatures, what, labelled = [], [], []
    with draft.open("wb") as file:
        for exchange in read(part.url, part.window, part.portion):
            seen += 1
            row = row_of(exchange, library, part.keep, secrets)
            if row is None:
                continue
            signatures.append(signature(row.query))
            what.append(KINDS.index(row.what))
            labelled.append(bool(row.wanted))
            file.write(msgspec.json.encode(row) + b"\n")
    stacked = np.stack(signatures) if signatures else np.zeros((0, HASHES), np.uint32)
    np.savez(
        base.with_suffix(".npz"), signatures=stacked, what=np.array(what, np.uint8), labelled=np.array(labelled, bool)
    )
    draft.replace(base.with_suffix(".jsonl"))
    return HarvestedPortion(str(base.with_suffix(".jsonl")), len(what), seen, secrets.total())


def _window(options: HarvestOptions) -> RecordWindow:
    """Return the window of exchanges to read. The first run fixes the window, so a resumed job reads the same
    exchanges."""
    now = time.time()
    until = at(options.until, now) or now
    return RecordWindow(at(options.since, now), until, options.model, options.intent, options.template, options.key)


def _take_all(run: JobRun, parts: Sequence[HarvestPortion]) -> list[HarvestedPortion]:
    """Run one step per portion. Only portions without a stored result go to the executor."""
    waiting = [part for part in parts if not run.known("portion", part)]
    results = run.executor.map(take, waiting)
    harvested = []
    for part in parts:
        harvested.append(run.step("portion", part, lambda: next(results), HarvestedPortion))
        run.check()
    return harvested


def _table(harvested: Sequence[HarvestedPortion]) -> Mapping[str, Any]:
    """Join the arrays of all portions. The arrays have one entry per row, and do not contain the texts of rows."""
    parts = [np.load(Path(portion.file).with_suffix(".npz")) for portion in harvested]
    none = {
        "signatures": np.zeros((0, HASHES), np.uint32),
        "what": np.zeros(0, np.uint8),
        "labelled": np.zeros(0, bool),
    }
    return {name: np.concatenate([empty, *(part[name] for part in parts)]) for name, empty in none.items()}


def _counts(harvested: Sequence[HarvestedPortion], what: Any, chosen: Any) -> dict[str, int]:
    by_kind = {kind.value: int(np.sum(chosen & (what == number))) for number, kind in enumerate(KINDS)}
    seen, rows = sum(portion.seen for portion in harvested), sum(portion.rows for portion in harvested)
    others = {
        "seen": seen,
        "passed over": seen - rows,
        "left out as alike or too many": rows - int(np.sum(chosen)),
        "secrets": sum(portion.secrets for portion in harvested),
    }
    return {**{kind: n for kind, n in by_kind.items() if n}, **others}


def _rows(harvested: Sequence[HarvestedPortion], chosen: Any, judged: Mapping[str, DatasetRow]) -> Iterator[DatasetRow]:
    for place, row in enumerate(_all_rows(harvested)):
        if chosen[place] and (row.what is not What.UNSCORED or row.exchange in judged):
            yield judged.get(row.exchange, row)


def _all_rows(harvested: Sequence[HarvestedPortion]) -> Iterator[DatasetRow]:
    for portion in harvested:
        with Path(portion.file).open("rb") as lines:
            yield from map(_row.decode, lines)


def _judged(run: JobRun, options: HarvestOptions, harvested: Sequence[HarvestedPortion]) -> Mapping[str, DatasetRow]:
    """Let the judge score up to `options.judge` rows that have no score. Returns the judged rows by exchange id."""
    if not options.judge:
        return {}
    from offline_jobs.datasets.judge_answers import judge_rows

    unscored = (row for row in _all_rows(harvested) if row.what is What.UNSCORED)
    return {row.exchange: row for row in judge_rows(run, list(islice(unscored, options.judge)))}


def _groups(run: JobRun, made: dataset.Dataset) -> Sequence[Any]:
    from offline_jobs.datasets.groups import PromptGroup, group

    if run.settings.embedder is None:
        return ()
    texts = [row.query for row in made.read() if row.what is What.UNFITTED][:GROUPED]
    return run.step("groups", [made.hash, GROUPED], lambda: group(texts, run.settings), list[PromptGroup])


JOB = JobKind(
    "makes a dataset from recorded failures, successes, and prompts without a template",
    HarvestOptions,
    run,
    estimate,
)
