"""The job `harvest`: recorded exchanges to a dataset version of what went wrong, what went right, and what no template
was for.

The window is cut into portions; each is read, judged, scrubbed and signed in a step of its own, on any executor. Then
near-duplicates go, and what no template was for is grouped. Memory holds signatures, never all texts.
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
from gateway.settings import Settings
from offline_jobs.datasets import dataset
from offline_jobs.datasets.duplicates import HASHES, firsts, signature
from offline_jobs.datasets.judge_records import library_of, row_of
from offline_jobs.datasets.recorded import PORTION, Portion, RecordWindow, portions, read
from offline_jobs.datasets.rows import DatasetRow, What
from offline_jobs.engine.budget import Spent
from offline_jobs.engine.registry import JobKind
from offline_jobs.engine.run import JobRun
from offline_jobs.engine.since import at

GROUPED = 4000
"""So many prompts at the most are grouped: the number of distances grows with its square."""
KINDS = tuple(What)
_row = msgspec.json.Decoder(DatasetRow)


class HarvestOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What a harvest can be asked."""

    name: str = "harvest"
    """Of the dataset that it makes."""
    since: str = "7d"
    """From when: so long ago, or a day."""
    until: str = ""
    """To when; left out: now."""
    model: str = ""
    """Only what this model answered."""
    intent: str = ""
    """Only prompts of this intent."""
    template: str = ""
    """Only what this template spoke for."""
    key: str = ""
    """Only what came with this key."""
    keep: tuple[str, ...] = (What.FAILURE, What.SUCCESS, What.UNFITTED)
    """What is kept: failure, success, unfitted, unscored."""
    judge: int = 0
    """So many unscored answers are shown to `[jobs] judge`."""
    most: int = 100_000
    """Rows of each kind."""
    groups: bool = True
    """Whether prompts that no template fitted are grouped."""
    portion: int = PORTION
    """Exchanges of a step."""


class HarvestPortion(Struct, frozen=True):
    """One portion to be read."""

    url: str
    folders: tuple[str, ...]
    window: RecordWindow
    portion: Portion
    keep: tuple[str, ...]
    into: str


class HarvestedPortion(Struct, frozen=True):
    """What came of a portion: where its rows are, and what was seen."""

    file: str
    rows: int
    seen: int
    secrets: int


class HarvestReport(Struct, frozen=True):
    """What a harvest reports."""

    dataset: str
    rows: int
    counts: Mapping[str, int]
    groups: Sequence[Any] = ()


def run(run: JobRun, options: HarvestOptions) -> HarvestReport:
    window = run.step("window", options, lambda: _window(options), RecordWindow)
    url = database_url(run.settings)
    folders = tuple(str((run.settings.root / one).resolve()) for one in run.settings.prompt.templates)
    parts = run.step(
        "portions", [window, options.portion], lambda: portions(url, window, options.portion), list[Portion]
    )
    keep = (*options.keep, What.UNSCORED) if options.judge else options.keep
    into = run.folder / "parts"
    into.mkdir(exist_ok=True)
    taken = _take_all(run, [HarvestPortion(url, folders, window, one, keep, str(into)) for one in parts])
    judged = _judged(run, options, taken)
    table = _table(taken)
    chosen = _chosen(table, options.most, bool(judged))
    counts = _counts(taken, table["what"], chosen)
    rows = _rows(taken, chosen, judged)
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
    """Only the judge costs."""
    return Spent(calls=options.judge, tokens=options.judge * 700)


def take(part: HarvestPortion) -> HarvestedPortion:
    """Read one portion and leave its rows and their signatures in files. A task."""
    library = library_of(part.folders)
    base = Path(part.into) / f"{part.portion.number:06d}"
    draft = base.with_suffix(".tmp")
    seen, secrets = 0, Counter[str]()
    signatures, what, labelled = [], [], []
    with draft.open("wb") as file:
        for one in read(part.url, part.window, part.portion):
            seen += 1
            row = row_of(one, library, part.keep, secrets)
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
    """Fixed when the job begins, so that a resumed job reads the same exchanges."""
    now = time.time()
    until = at(options.until, now) or now
    return RecordWindow(at(options.since, now), until, options.model, options.intent, options.template, options.key)


def _take_all(run: JobRun, parts: Sequence[HarvestPortion]) -> list[HarvestedPortion]:
    """One step a portion; those that are done already are not handed out."""
    left = [part for part in parts if not run.known("portion", part)]
    results = run.executor.map(take, left)
    taken = []
    for part in parts:
        taken.append(run.step("portion", part, lambda: next(results), HarvestedPortion))
        run.check()
    return taken


def _chosen(table: Mapping[str, Any], most: int, judged: bool) -> Any:
    """Which rows stay: of each kind those that are no near-duplicates, the labelled before the others."""
    chosen = np.zeros(len(table["what"]), np.bool_)
    for number, kind in enumerate(KINDS):
        rows = np.flatnonzero(table["what"] == number)
        if not len(rows) or (kind is What.UNSCORED and not judged):
            continue
        rows = rows[np.argsort(~table["labelled"][rows], kind="stable")]
        chosen[rows[firsts(table["signatures"][rows])][:most]] = True
    return chosen


def _table(taken: Sequence[HarvestedPortion]) -> Mapping[str, Any]:
    """What is known of all rows but their texts."""
    parts = [np.load(Path(one.file).with_suffix(".npz")) for one in taken]
    none = {
        "signatures": np.zeros((0, HASHES), np.uint32),
        "what": np.zeros(0, np.uint8),
        "labelled": np.zeros(0, bool),
    }
    return {name: np.concatenate([empty, *(part[name] for part in parts)]) for name, empty in none.items()}


def _counts(taken: Sequence[HarvestedPortion], what: Any, chosen: Any) -> dict[str, int]:
    by_kind = {kind.value: int(np.sum(chosen & (what == number))) for number, kind in enumerate(KINDS)}
    seen, found = sum(one.seen for one in taken), sum(one.rows for one in taken)
    left = {"seen": seen, "passed over": seen - found, "left out as alike or too many": found - int(np.sum(chosen))}
    return {**{kind: n for kind, n in by_kind.items() if n}, **left, "secrets": sum(one.secrets for one in taken)}


def _rows(taken: Sequence[HarvestedPortion], chosen: Any, judged: Mapping[str, DatasetRow]) -> Iterator[DatasetRow]:
    for place, row in enumerate(_all_rows(taken)):
        if chosen[place] and (row.what is not What.UNSCORED or row.exchange in judged):
            yield judged.get(row.exchange, row)


def _all_rows(taken: Sequence[HarvestedPortion]) -> Iterator[DatasetRow]:
    for one in taken:
        with Path(one.file).open("rb") as lines:
            yield from map(_row.decode, lines)


def _judged(run: JobRun, options: HarvestOptions, taken: Sequence[HarvestedPortion]) -> Mapping[str, DatasetRow]:
    """The unscored answers that a judge has seen, by exchange."""
    if not options.judge:
        return {}
    from offline_jobs.datasets.judge_answers import judge_rows

    unscored = (row for row in _all_rows(taken) if row.what is What.UNSCORED)
    return {row.exchange: row for row in judge_rows(run, list(islice(unscored, options.judge)))}


def _groups(run: JobRun, made: dataset.Dataset) -> Sequence[Any]:
    from offline_jobs.datasets.groups import PromptGroup, group

    if run.settings.embedder is None:
        return ()
    texts = [row.query for row in made.read() if row.what is What.UNFITTED][:GROUPED]
    return run.step("groups", [made.hash, GROUPED], lambda: group(texts, run.settings), list[PromptGroup])


JOB = JobKind(
    "recorded exchanges to a dataset: failures, successes, prompts that no template fitted",
    HarvestOptions,
    run,
    estimate,
)
