"""The job `optimise`: searches for a better version of one template.

A dataset is split into three parts, of which the search sees only two. A paired test on the third, sealed part decides
whether the best candidate is better than the template. If not, nothing is written.
"""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import msgspec

from gateway.prompt.library.library import load_library
from gateway.prompt.templates.template import read_ref
from gateway.records.scores import paired
from gateway.settings.tables import Settings
from offline_jobs.datasets.dataset import find
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.datasets.splits import Splits, SplitSizes, affordable, split
from offline_jobs.engine.budget import Spent
from offline_jobs.engine.embedding import open_embedder
from offline_jobs.engine.models import Loop, open_models
from offline_jobs.engine.registry import JobKind
from offline_jobs.engine.run import JobRun
from offline_jobs.errors import BudgetSpent, JobFailed
from offline_jobs.found import optimise as found_optimise
from offline_jobs.found.outcome import FoundOptimiseReport
from offline_jobs.publish.winner import promote, read_winner
from offline_jobs.search.candidate import (
    Parent,
    read_parent,
)
from offline_jobs.search.optimizer import MINIBATCH, SearchOver, optimizer_named
from offline_jobs.search.outcome import (
    OptimiseReport,
    SearchInputs,
    commonest_share,
    score_path,
    write_lineage,
    write_winner,
)
from offline_jobs.search.preference import calls_a_row
from offline_jobs.search.propose import material_of
from offline_jobs.search.score import AnswerScore, measure_of
from offline_jobs.search.search_budget import SearchBudget, SearchEnd
from offline_jobs.search.template_search import OptimiseOptions, TemplateSearch
from offline_jobs.search.trial import CandidateTrial

LOOKED = 2 * MINIBATCH
"""At most this many rows are answered to find failures."""


def run(run: JobRun, options: OptimiseOptions) -> OptimiseReport | FoundOptimiseReport:
    if options.prompt:
        return found_optimise.run(run, options)
    # the first run stores the inputs of the search, so that a resumed job continues the same search
    inputs = run.step("inputs", options, lambda: _inputs(run.settings, options), SearchInputs)
    parent = _parent(run.settings, inputs.template)
    rows = _rows(run.settings, inputs.dataset)
    calls = _calls(parent, run.job.budget.calls)
    each = calls_a_row(rows, options.judge or run.settings.jobs.judge)
    # calls for the sealed rows are reserved before any other call
    sizes = run.step("sizes", inputs, lambda: affordable(calls, each, options.choose, options.sealed), SplitSizes)
    splits = split(rows, options.seed, sizes.choose, sizes.sealed)
    model = options.model or run.settings.jobs.model or run.settings.routing.default
    with open_models(run) as loop:
        budget = _search_budget(run, inputs, loop, calls, 2 * each * len(splits.sealed))
        problem = _problem(run, options, inputs, parent, splits, model, loop, budget, each)
        _search(run, options, problem)
        best = problem.best()
        if best == 0:
            return _nothing_better(run, options, inputs, problem, model)
        run.step("search", inputs, lambda: SearchEnd(loop.models.caller.used.calls), SearchEnd)
        answers = _decide(problem, best, splits.sealed)
    return _settled(run, options, inputs, problem, best, answers, model)


def estimate(settings: Settings, options: OptimiseOptions) -> Spent:
    """Return an upper bound of the cost: nearly the whole budget, because a search uses every call that it may make."""
    if options.prompt:
        return found_optimise.estimate(settings, options)
    rows = _rows(settings, options.dataset)
    each = calls_a_row(rows, options.judge or settings.jobs.judge)
    calls = _calls(_parent(settings, options.template), settings.jobs.calls)
    sizes = affordable(calls, each, options.choose, options.sealed)
    splits = split(rows, options.seed, sizes.choose, sizes.sealed)
    calls = min(calls, 2 * each * len(splits.sealed) + 40 * each * len(splits.choose))
    characters = sum(len(row.query) + len(row.wanted) for row in rows) // max(1, len(rows))
    return Spent(calls=calls, tokens=min(settings.jobs.tokens, calls * (characters // 2 + 300)))


def _inputs(settings: Settings, options: OptimiseOptions) -> SearchInputs:
    examples = find(settings.data_folder, options.examples).ref if options.examples else ""
    template = _parent(settings, options.template).template.ref
    return SearchInputs(template, find(settings.data_folder, options.dataset).ref, examples)


def _calls(parent: Parent, budget: int) -> int:
    return min(parent.template.optimise.task_calls or budget, budget)


def _search_budget(run: JobRun, inputs: SearchInputs, loop: Loop, calls: int, reserve: int) -> SearchBudget:
    end: SearchEnd | None = run.result("search", inputs, SearchEnd)
    jobs = run.settings.jobs
    return SearchBudget(
        loop.models.caller, run.job.budget, calls, reserve, jobs.parallel, None if end is None else end.calls
    )


def _search(run: JobRun, options: OptimiseOptions, problem: TemplateSearch) -> None:
    """Search until nothing is left to try or the search's budget is used up.

    Raises `BudgetSpent` if the budget runs out before a better candidate is found, because an unfinished search proves
    nothing.
    """
    optimizer = optimizer_named(options.engine)
    raced = run.step("raced", options, problem.affordable_rules, int)
    try:
        problem.screen(raced)
        optimizer.search(problem, Random(options.seed))
    except SearchOver:
        if problem.best() == 0:
            raise BudgetSpent(
                f"no better candidate yet: {problem.budget.reason}. "
                f"To continue: foreword jobs resume {run.job.id} --calls N --tokens N"
            ) from None


def _problem(
    run: JobRun,
    options: OptimiseOptions,
    inputs: SearchInputs,
    parent: Parent,
    splits: Splits,
    model: str,
    loop: Loop,
    budget: SearchBudget,
    each: int,
) -> TemplateSearch:
    # a row that is also an example would only show that the model can copy its answer
    looked = splits.learn[: LOOKED if inputs.examples else min(LOOKED, len(splits.learn) // 3)]
    shots = _rows(run.settings, inputs.examples) if inputs.examples else splits.learn[len(looked) :]
    taken = {row.query for row in (*looked, *splits.choose, *splits.sealed)}
    shots = [row for row in shots if row.query not in taken]
    measure = measure_of([*splits.learn, *shots], parent.template.checks)
    nearest = options.nearest and run.settings.embedder is not None
    material = material_of(parent, shots, measure, loop.models.sampling_of(model), nearest=nearest)
    judge = options.judge or run.settings.jobs.judge
    work = run.folder / "work"
    work.mkdir(exist_ok=True)
    embedder = open_embedder(run.settings) if nearest else None
    trial = CandidateTrial(loop, parent, measure, model, work, embedder, judge)
    labelled = all(row.wanted for row in (*splits.learn, *splits.choose, *splits.sealed))
    if not labelled and not judge and not parent.template.checks:
        raise JobFailed(
            "answers cannot be judged: add `wanted` to the dataset, `checks:` to the template, or [jobs] judge"
        )
    return TemplateSearch(trial, splits, looked, material, options, loop, model, budget, each)


def _decide(
    problem: TemplateSearch, best: int, sealed: Sequence[DatasetRow]
) -> tuple[list[AnswerScore], list[AnswerScore]]:
    """Score the template and the best candidate on the sealed rows, which the search has never seen."""
    seed = problem.trial.weigh(problem.seed, sealed, against=problem.seed)
    return seed, problem.trial.weigh(problem.log[best].pieces, sealed, against=problem.seed)


def _nothing_better(
    run: JobRun, options: OptimiseOptions, inputs: SearchInputs, problem: TemplateSearch, model: str
) -> OptimiseReport:
    compared = sum(candidate.mean(problem.choose) is not None for candidate in problem.log[1:])
    verdict = f"none of {compared} candidates did better than the template on {len(problem.choose)} rows to choose by"
    if not compared:
        verdict = "there was no candidate to try: no rule may change the template, and no critic is configured"
    report = OptimiseReport("", verdict, len(problem.log))
    write_lineage(run, options, inputs, problem, 0, report, model)
    return report


def _settled(
    run: JobRun,
    options: OptimiseOptions,
    inputs: SearchInputs,
    problem: TemplateSearch,
    best: int,
    answers: tuple[list[AnswerScore], list[AnswerScore]],
    model: str,
) -> OptimiseReport:
    seed, winner = answers
    differences = [new.correct - old.correct for old, new in zip(seed, winner, strict=True)]
    test = paired(differences, Random(options.seed))
    means = (_mean(seed), _mean(winner))
    better = test.is_higher
    commonest = commonest_share(problem.sealed)
    verdict = (
        f"right {means[0]:.3f} -> {means[1]:.3f} on {test.pairs} sealed rows, "
        f"difference {test.mean:.3f} [{test.low:.3f}, {test.high:.3f}], p = {test.p:.4f}"
    )
    if better and means[1] <= commonest:
        verdict += f"; form only: the most common answer alone would be right on {commonest:.3f}"
    report = OptimiseReport(
        "", verdict, len(problem.log), test, *means, commonest=commonest, parts=score_path(problem, best)
    )
    lineage = write_lineage(run, options, inputs, problem, best, report, model)
    if not better:
        return msgspec.structs.replace(report, verdict=f"not better: {verdict}")
    ref = write_winner(run, problem, best, lineage)
    file = ""
    if run.settings.jobs.auto != "off":
        to = "canary" if run.settings.jobs.auto in ("canary", "active") else "candidate"
        file = str(promote(run.settings, read_winner(run.folder / "winner"), to, run.job.id))
    return msgspec.structs.replace(report, won=ref, file=file)


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


def _mean(outcomes: Sequence[AnswerScore]) -> float:
    return sum(outcome.correct for outcome in outcomes) / len(outcomes)


JOB = JobKind(
    "searches for a better version of one template, and tests it on rows that the search never saw",
    OptimiseOptions,
    run,
    estimate,
)
