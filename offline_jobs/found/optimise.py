"""`optimise prompt=NAME`: searches for a better version of an adopted prompt, on rows of its own traffic.

A race and a search on the rows to choose by find the best candidate. It and the present version answer the sealed rows,
which the search has never seen. A candidate that breaks the answer contract more often than the present version does
not win.
"""

from collections.abc import Sequence
from pathlib import Path
from random import Random

from gateway.prompt.found.adopt import FoundTemplate
from gateway.prompt.found.contract_file import read_contract
from gateway.prompt.found.found_prompt import FoundPrompt
from gateway.prompt.found.store import found_path, one_of, read_found
from gateway.prompt.found.templates import newest_template, present_identity, read_template
from gateway.settings.prices import ModelPrice
from gateway.settings.tables import Settings
from offline_jobs.datasets.dataset import find
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.datasets.splits import Splits, affordable, split
from offline_jobs.engine.budget import Spent
from offline_jobs.engine.embedding import open_embedder
from offline_jobs.engine.models import Loop, open_models
from offline_jobs.engine.run import JobRun
from offline_jobs.errors import BudgetSpent, JobFailed
from offline_jobs.found.candidates import FoundMaterial
from offline_jobs.found.judge import VersionJudge
from offline_jobs.found.outcome import FoundOptimiseReport, settled, write_lineage
from offline_jobs.found.search import FoundSearch
from offline_jobs.found.trial import FoundTrial
from offline_jobs.search.optimizer import MINIBATCH, SearchOver, optimizer_named
from offline_jobs.search.preference import calls_a_row
from offline_jobs.search.race import answers_needed
from offline_jobs.search.score import measure_of
from offline_jobs.search.search_budget import SearchBudget, SearchEnd
from offline_jobs.search.template_search import OptimiseOptions

LOOKED = 2 * MINIBATCH
"""At most this many rows are answered to find mistakes."""
TOKENS = 1200
"""The assumed tokens of a call, for the estimate."""


def run(run: JobRun, options: OptimiseOptions) -> FoundOptimiseReport:
    folder, jobs = run.settings.data_folder, run.settings.jobs
    prompt = one_of(read_found(found_path(folder)).prompts, options.prompt)
    # a resumed job goes on with the same version and the same rows
    refs = run.step("inputs", options, lambda: _inputs(run.settings, prompt, options), tuple[int, str])
    base = read_template(folder, prompt.id, refs[0])
    if base.base != prompt.newest.number:
        raise JobFailed(f"{prompt.name} was deployed anew; run: foreword prompts adopt {prompt.name}")
    judge = options.judge or jobs.judge
    rows = _rows(folder, refs[1], prompt, base, judge)
    each = calls_a_row(rows, judge)
    splits = _splits(rows, run.job.budget.calls, each, options)
    model = options.model or base.model or jobs.model or rows[0].model
    with open_models(run) as loop:
        search = _search(run, options, prompt, base, splits, each, model, loop, refs)
        raced = run.step("raced", options, search.affordable_rules, int)
        _searched(run, options, refs, search, raced)
        best = search.best()
        if best is search.present:
            verdict = f"none of {len(search.log) - 1} candidates did better on {len(splits.choose)} rows to choose by"
            report = FoundOptimiseReport("", verdict, len(search.log) - 1)
            write_lineage(run, prompt, report, search.tried())
            return report
        run.step("search", refs, lambda: SearchEnd(loop.models.caller.used.calls), SearchEnd)
        seed, winner = (search.judge.judge(one, splits.sealed) for one in (search.present, best))
        tried = search.tried()
    return settled(run, options, prompt, splits, tried, best, (seed, winner))


def _search(
    run: JobRun,
    options: OptimiseOptions,
    prompt: FoundPrompt,
    base: FoundTemplate,
    splits: Splits,
    each: int,
    model: str,
    loop: Loop,
    refs: tuple[int, str],
) -> FoundSearch:
    settings, critic = run.settings, options.critic or run.settings.jobs.critic
    # a row that is also an example would only show that the model can copy its answer
    looked = splits.learn[: min(LOOKED, len(splits.learn) // 4)]
    shots = splits.learn[len(looked) :]
    contract = read_contract(settings.data_folder, prompt.id)
    measure = measure_of([row for row in splits.learn if row.wanted], ())
    nearest = options.nearest and settings.embedder is not None
    trial = FoundTrial(loop, model, open_embedder(settings) if nearest or base.nearest else None)
    price = settings.model_prices.get(model, ModelPrice())
    judge = VersionJudge(loop, trial, base, measure, contract, price, options.judge or settings.jobs.judge)
    known = FoundMaterial(prompt, shots, contract, measure.labels, nearest)
    end: SearchEnd | None = run.result("search", refs, SearchEnd)
    reserve = 2 * each * len(splits.sealed)
    budget = SearchBudget(
        loop.models.caller,
        run.job.budget,
        run.job.budget.calls,
        reserve,
        settings.jobs.parallel,
        None if end is None else end.calls,
    )
    draw = Random(options.seed)
    return FoundSearch(
        judge,
        base,
        known,
        looked,
        splits.choose,
        budget,
        each,
        draw,
        rules=options.rules,
        loop=loop,
        critic=critic,
        model=model,
    )


def _searched(run: JobRun, options: OptimiseOptions, refs: tuple[int, str], search: FoundSearch, raced: int) -> None:
    """Search until nothing is left to try or the search's budget is used up.

    Raises `BudgetSpent` if the budget runs out before a better candidate is found, because an unfinished search proves
    nothing.
    """
    try:
        search.screen(raced)
        optimizer_named(options.engine).search(search, Random(options.seed))
    except SearchOver:
        if search.best() is search.present:
            raise BudgetSpent(
                f"no better candidate yet: {search.budget.reason}. "
                f"To continue: foreword jobs resume {run.job.id} --calls N --tokens N"
            ) from None


def estimate(settings: Settings, options: OptimiseOptions) -> Spent:
    """Return an upper bound of the cost."""
    prompt = one_of(read_found(found_path(settings.data_folder)).prompts, options.prompt)
    base = newest_template(settings.data_folder, prompt.id)
    judge = options.judge or settings.jobs.judge
    rows = _rows(settings.data_folder, options.dataset, prompt, base, judge)
    each = calls_a_row(rows, judge)
    splits = _splits(rows, settings.jobs.calls, each, options)
    search = answers_needed(24, len(splits.choose)) + 40 * len(splits.choose)
    calls = min(settings.jobs.calls, each * (search + 2 * len(splits.sealed)))
    price = settings.call_prices.get(options.model or settings.jobs.model or rows[0].model)
    money = calls * TOKENS * price.prompt / 1e6 if price else 0.0
    return Spent(calls, min(settings.jobs.tokens, calls * TOKENS), money)


def _inputs(settings: Settings, prompt: FoundPrompt, options: OptimiseOptions) -> tuple[int, str]:
    return _present(settings, prompt), find(settings.data_folder, options.dataset).ref


def _present(settings: Settings, prompt: FoundPrompt) -> int:
    """Return the number of the version in use: the promoted one, or else the identity of the application's text."""
    newest = newest_template(settings.data_folder, prompt.id).version
    if prompt.spoken is not None:
        return prompt.spoken.version
    identity = present_identity(settings.data_folder, prompt)
    return newest if identity is None else identity.version


def sealed_rows(
    settings: Settings, prompt: FoundPrompt, options: OptimiseOptions, calls: int
) -> tuple[DatasetRow, ...]:
    """Return the rows that a search with these options and calls does not see."""
    base = read_template(settings.data_folder, prompt.id, _present(settings, prompt))
    judge = options.judge or settings.jobs.judge
    rows = _rows(settings.data_folder, options.dataset, prompt, base, judge)
    return _splits(rows, calls, calls_a_row(rows, judge), options).sealed


def _rows(folder: Path, ref: str, prompt: FoundPrompt, base: FoundTemplate, judge: str) -> list[DatasetRow]:
    """Return the rows of this prompt. Rows never serve another key's prompt. Without a judge, the right answer of each
    row has to be known.
    """
    own = [row for row in find(folder, ref).read() if row.template == prompt.id and row.request]
    return [row for row in own if len(row.parts) == len(base.slots) and (row.wanted or judge)]


def _splits(rows: Sequence[DatasetRow], calls: int, each: int, options: OptimiseOptions) -> Splits:
    if not rows:
        raise JobFailed(
            "the dataset has no row of this prompt with a right answer; send feedback, and run: "
            f"foreword jobs run harvest prompt={options.prompt} name={options.dataset}"
        )
    sizes = affordable(calls, each, options.choose, options.sealed)
    return split(rows, options.seed, sizes.choose, sizes.sealed)
