"""The job `optimise`: a better version of one template, by criticising, proposing and trying out.

The rows of a dataset are split in three. The search sees two parts; the third, sealed, decides by a paired test
whether the best candidate is better than what there is. If it is not, nothing comes of it.
"""

import importlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from msgspec import Struct

from gateway.atomic_file import write_whole
from gateway.prompt.library.library import load_library
from gateway.prompt.templates.template import read_ref
from gateway.records.scores import Paired, paired
from gateway.settings import Settings
from offline_jobs.datasets.dataset import find
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.datasets.splits import Splits, affordable, split
from offline_jobs.engine.budget import Spent
from offline_jobs.engine.embedding import open_embedder
from offline_jobs.engine.models import Loop, open_models
from offline_jobs.engine.registry import JobKind
from offline_jobs.engine.run import JobRun
from offline_jobs.errors import JobFailed
from offline_jobs.publish.promote import LINEAGE, WINNER, promote, read_winner
from offline_jobs.search.candidate import (
    CandidateExamples,
    Parent,
    Pieces,
    assembled,
    examples_in,
    pool_file,
    pool_text,
    read_parent,
)
from offline_jobs.search.optimizer import MINIBATCH, Optimizer, SearchOver, id_of, pareto
from offline_jobs.search.propose import known_of
from offline_jobs.search.score import AnswerScore, measure_of
from offline_jobs.search.template_search import OptimiseOptions, TemplateSearch
from offline_jobs.search.trial import CandidateTrial

LEVEL = 0.05
LOOKED = 2 * MINIBATCH
"""So many rows at the most are answered to see what goes wrong."""
JUDGED = 3
"""Calls a row where a judge compares: the answer, and the judge twice."""


class OptimiseReport(Struct, frozen=True):
    """What became of it. `won` is the new version's name, "" if nothing was better."""

    won: str
    said: str
    tried: int
    sealed: Paired | None = None
    start: float = 0.0
    best: float = 0.0
    parts: dict[str, float] = {}
    """The score after each change that leads to the winner: on the rows to choose by, or on those that it answered."""
    file: str = ""


def run(run: JobRun, asked: OptimiseOptions) -> OptimiseReport:
    parent = _parent(run.settings, asked.template)
    rows = _rows(run.settings, asked.dataset)
    calls = _calls(parent, run.job.budget.calls)
    each = _each(rows, asked.judge or run.settings.jobs.judge)
    splits = _split(rows, asked, calls, each)
    model = asked.model or run.settings.jobs.model or run.settings.routing.default
    with open_models(run) as loop:
        problem = _problem(run, asked, parent, splits, model, loop, calls, each)
        optimizer = _optimizer(asked.engine)
        with suppress(SearchOver):
            problem.screen()
            optimizer.search(problem, Random(asked.seed))
        best = problem.best()
        if best == 0:
            return _nothing_better(run, asked, problem, model)
        decided = _decide(problem, best, splits.sealed)
    return _settled(run, asked, problem, best, decided, model)


def estimate(settings: Settings, asked: OptimiseOptions) -> Spent:
    """The search uses what the budget leaves, so at the most all of it."""
    rows = _rows(settings, asked.dataset)
    each = _each(rows, asked.judge or settings.jobs.judge)
    calls = _calls(_parent(settings, asked.template), settings.jobs.calls)
    splits = _split(rows, asked, calls, each)
    calls = min(calls, 2 * each * len(splits.sealed) + 40 * each * len(splits.choose))
    characters = sum(len(row.query) + len(row.wanted) for row in rows) // max(1, len(rows))
    return Spent(calls=calls, tokens=min(settings.jobs.tokens, calls * (characters // 2 + 300)))


def _calls(parent: Parent, budget: int) -> int:
    return min(parent.template.optimise.task_calls or budget, budget)


def _each(rows: Sequence[DatasetRow], judge: str) -> int:
    """The calls that a row takes."""
    return JUDGED if judge and not all(row.wanted for row in rows) else 1


def _split(rows: Sequence[DatasetRow], asked: OptimiseOptions, calls: int, each: int) -> Splits:
    """The calls for the sealed rows are set aside before anything else, and the search gets what it can do with."""
    sizes = affordable(calls, each, asked.choose, asked.sealed)
    return split(rows, asked.seed, sizes.choose, sizes.sealed)


def _problem(
    run: JobRun, asked: OptimiseOptions, parent: Parent, splits: Splits, model: str, loop: Loop, calls: int, each: int
) -> TemplateSearch:
    # a row that is its own example is answered by copying, which says nothing of others
    looked = splits.learn[: LOOKED if asked.examples else min(LOOKED, len(splits.learn) // 3)]
    shots = _rows(run.settings, asked.examples) if asked.examples else splits.learn[len(looked) :]
    taken = {row.query for row in (*looked, *splits.choose, *splits.sealed)}
    shots = [row for row in shots if row.query not in taken]
    measure = measure_of([*splits.learn, *shots], parent.template.checks)
    nearest = asked.nearest and run.settings.embedder is not None
    known = known_of(parent, shots, measure, nearest=nearest)
    judge = asked.judge or run.settings.jobs.judge
    work = run.folder / "work"
    work.mkdir(exist_ok=True)
    embedder = open_embedder(run.settings) if nearest else None
    trial = CandidateTrial(loop, parent, measure, model, work, embedder, judge)
    labelled = all(row.wanted for row in (*splits.learn, *splits.choose, *splits.sealed))
    if not labelled and not judge and not parent.template.checks:
        raise JobFailed(
            "nobody said what is right: the dataset needs `wanted`, the template `checks:`, or [jobs] a judge"
        )
    return TemplateSearch(trial, splits, looked, known, asked, loop, model, calls, each)


def _decide(
    problem: TemplateSearch, best: int, sealed: Sequence[DatasetRow]
) -> tuple[list[AnswerScore], list[AnswerScore]]:
    """The answers of both to the sealed rows, which nobody has seen so far."""
    seed = problem.trial.weigh(problem.seed, sealed, against=problem.seed)
    return seed, problem.trial.weigh(problem.log[best].pieces, sealed, against=problem.seed)


def _nothing_better(run: JobRun, asked: OptimiseOptions, problem: TemplateSearch, model: str) -> OptimiseReport:
    report = OptimiseReport("", "no candidate did better than the template on the rows to choose by", len(problem.log))
    _lineage(run, asked, problem, 0, report, model)
    return report


def _settled(
    run: JobRun,
    asked: OptimiseOptions,
    problem: TemplateSearch,
    best: int,
    decided: tuple[list[AnswerScore], list[AnswerScore]],
    model: str,
) -> OptimiseReport:
    seed, winner = decided
    differences = [new.correct - old.correct for old, new in zip(seed, winner, strict=True)]
    test = paired(differences, Random(asked.seed))
    means = (_mean(seed), _mean(winner))
    better = test.p < LEVEL and test.low > 0
    said = (
        f"right {means[0]:.3f} -> {means[1]:.3f} on {test.pairs} sealed rows, "
        f"difference {test.mean:.3f} [{test.low:.3f}, {test.high:.3f}], p = {test.p:.4f}"
    )
    report = OptimiseReport("", said, len(problem.log), test, *means, _parts(problem, best))
    lineage = _lineage(run, asked, problem, best, report, model)
    if not better:
        return msgspec.structs.replace(report, said=f"not better: {said}")
    ref = _write_winner(run, problem, best, lineage)
    file = ""
    if run.settings.jobs.auto != "off":
        to = "canary" if run.settings.jobs.auto in ("canary", "active") else "candidate"
        file = str(promote(run.settings, read_winner(run.folder / "winner"), to, run.job.id))
    return msgspec.structs.replace(report, won=ref, file=file)


def _parts(problem: TemplateSearch, best: int) -> dict[str, float]:
    path: dict[str, float] = {}
    place = best
    while place >= 0:
        one = problem.log[place]
        mean = one.mean(problem.choose)
        path[one.by] = round(one.so_far if mean is None else mean, 4)
        place = one.parent
    return dict(reversed(path.items()))


def _text(lineage: dict[str, Any]) -> str:
    return json.dumps(lineage, indent=1, ensure_ascii=False) + "\n"


def _lineage(
    run: JobRun, asked: OptimiseOptions, problem: TemplateSearch, best: int, report: OptimiseReport, model: str
) -> dict[str, Any]:
    """Everything that was tried, in plain JSON: who proposed it, why, and how it did. It is written down too."""
    parent = problem.trial.parent
    front = set(pareto(problem.log, problem.choose))
    tried = [
        {
            "id": id_of(one.pieces),
            "parent": id_of(problem.log[one.parent].pieces) if one.parent >= 0 else "",
            "by": one.by,
            "why": one.why,
            "score": one.mean(problem.choose),
            "so_far": one.so_far,
            "rows": len(one.outcomes),
            "said": next((outcome.said for outcome in one.outcomes.values() if outcome.said), ""),
            "front": place in front,
            "pieces": _shown(one.pieces),
        }
        for place, one in enumerate(problem.log)
    ]
    lineage = {
        "job": run.job.id,
        "parent": parent.template.ref,
        "parent_file": str(parent.file),
        "parent_digest": parent.template.digest,
        "dataset": find(run.settings.data_folder, asked.dataset).ref,
        "model": model,
        "critic": asked.critic or run.settings.jobs.critic,
        "said": report.said,
        "sealed": msgspec.to_builtins(report.sealed),
        "start": report.start,
        "best": report.best,
        "winner": id_of(problem.log[best].pieces),
        "critic_asked": problem.critic_asked,
        "tried": tried,
    }
    write_whole(run.folder / LINEAGE, _text(lineage))
    return lineage


def _shown(pieces: Pieces) -> Pieces:
    """Without the rows of a pool, which may be many."""
    examples = examples_in(pieces)
    few = CandidateExamples(examples.form, examples.k, examples.rows[:20])
    return {**pieces, "examples": json.dumps(msgspec.to_builtins(few), ensure_ascii=False)}


def _write_winner(run: JobRun, problem: TemplateSearch, best: int, lineage: dict[str, Any]) -> str:
    parent, pieces = problem.trial.parent, problem.log[best].pieces
    test = lineage["sealed"]
    scores = {
        "test_n": str(test["pairs"]),
        "baseline": f"{lineage['start']:.3f}",
        "this": f"{lineage['best']:.3f}",
        "difference": f"{test['mean']:.3f}",
        "low": f"{test['low']:.3f}",
        "high": f"{test['high']:.3f}",
        "p": f"{test['p']:.5f}",
        "model": lineage["model"],
        "dataset": lineage["dataset"],
    }
    provenance = {
        "origin": "job",
        "author": parent.template.provenance.author,
        "licence": parent.template.provenance.licence,
        "parent": parent.template.ref,
        "run": run.job.id,
        "scores": scores,
    }
    source = assembled(parent, pieces, provenance={key: value for key, value in provenance.items() if value})
    folder = run.folder / "winner"
    folder.mkdir(exist_ok=True)
    examples = examples_in(pieces)
    if examples.form == "nearest":
        write_whole(folder / pool_file(examples), pool_text(examples))
    write_whole(folder / LINEAGE, _text(lineage))
    write_whole(folder / WINNER, source)
    return f"{parent.template.id}@{parent.template.version + 1}"


def _parent(settings: Settings, ref: str) -> Parent:
    folders = [(settings.root / folder).resolve() for folder in settings.prompt.templates]
    library, _ = load_library(folders)
    try:
        id, version = read_ref(ref)
    except ValueError as error:
        raise JobFailed(f"there is no template {ref!r}: {error}") from None
    template = library.speaking.get(id) if version is None else library.get(id, version)
    template = template or library.get(id)
    if template is None:
        raise JobFailed(f"there is no template {ref!r}; see: foreword templates list")
    return read_parent(Path(template.file))


def _rows(settings: Settings, ref: str) -> list[DatasetRow]:
    return list(find(settings.data_folder, ref).read())


def _optimizer(engine: str) -> Optimizer:
    if engine == "climb":
        from offline_jobs.search.optimizer import Climb

        return Climb()
    try:
        found: Optimizer = importlib.import_module("offline_jobs.search.gepa_optimizer").Gepa()
    except ImportError as error:
        raise JobFailed("the engine gepa is not installed: pip install 'foreword[jobs]', or engine=climb") from error
    return found


def _mean(outcomes: Sequence[AnswerScore]) -> float:
    return sum(one.correct for one in outcomes) / len(outcomes)


JOB = JobKind(
    "a better version of one template, decided by a test on rows that the search never saw",
    OptimiseOptions,
    run,
    estimate,
)
