"""`optimise prompt=NAME`: searches for a better version of an adopted prompt, on rows of its own traffic.

A race on the rows to choose by finds the best candidate. It and the present version answer the sealed rows, which the
search has never seen. A candidate that breaks the answer contract more often than the present version does not win.
"""

import json
import time
from collections.abc import Sequence
from random import Random

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.atomic_file import write_whole
from gateway.prompt.found.adopt import FoundTemplate
from gateway.prompt.found.contract import AnswerContract, breach
from gateway.prompt.found.contract_file import read_contract
from gateway.prompt.found.found_prompt import FoundPrompt, PromotedVersion
from gateway.prompt.found.frozen import refuse_changes
from gateway.prompt.found.store import FoundFile, change_found, found_path, one_of, put, read_found
from gateway.prompt.found.templates import add_template, exported, newest_template, read_template
from gateway.records.scores import WORTHWHILE, Paired, paired
from gateway.settings.prices import ModelPrice, price_at
from gateway.settings.tables import Settings
from offline_jobs.datasets.dataset import find
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.datasets.splits import Splits, affordable, split
from offline_jobs.engine.budget import Spent
from offline_jobs.engine.models import open_models
from offline_jobs.engine.run import JobRun
from offline_jobs.errors import JobFailed
from offline_jobs.found.bill import RequestBill, bill, front
from offline_jobs.found.candidates import FoundCandidate, candidates
from offline_jobs.found.trial import FoundAnswer, FoundTrial
from offline_jobs.publish.decisions import LoggedDecision, log_decision
from offline_jobs.search.outcome import commonest_share
from offline_jobs.search.race import answers_needed, race
from offline_jobs.search.score import AnswerMeasure, AnswerScore, measure_of
from offline_jobs.search.template_search import OptimiseOptions

LEVEL = 0.05
WINNER = "winner.md"
LINEAGE = "lineage.json"
CHEAPER = 0.9
"""A prompt with at most this share of the tokens is noticed in the bill."""
TOKENS = 1200
"""The assumed tokens of a call, for the estimate."""


class TriedVersion(Struct, frozen=True):
    """A candidate in the lineage. `score` and `broken` are of the rows that it answered."""

    by: str
    rows: int
    score: float
    broken: int
    bill: RequestBill
    front: bool = False


class FoundOptimiseReport(Struct, frozen=True):
    """The result. `won` is the new version, or "" if no candidate was better. `broken` counts the sealed answers that
    break the contract, of the present version and of the best candidate.
    """

    won: str
    verdict: str
    tried: int
    sealed: Paired | None = None
    start: float = 0.0
    best: float = 0.0
    commonest: float = 0.0
    broken: tuple[int, int] = (0, 0)
    bills: tuple[RequestBill, RequestBill] = (RequestBill(), RequestBill())
    file: str = ""


class Judgement(Struct, frozen=True):
    """The answers of one version to some rows, judged."""

    scores: list[AnswerScore]
    broken: list[bool]
    bill: RequestBill

    @property
    def right(self) -> float:
        return sum(score.correct for score in self.scores) / max(1, len(self.scores))

    @property
    def score(self) -> float:
        return sum(score.score for score in self.scores) / max(1, len(self.scores))


class FoundSearch:
    """Judges versions of one prompt on rows."""

    def __init__(
        self, trial: FoundTrial, measure: AnswerMeasure, contract: AnswerContract | None, price: ModelPrice
    ) -> None:
        self._trial = trial
        self._measure = measure
        self._contract = contract
        self._price = price_at(price, time.time())

    def judge(self, candidate: FoundCandidate, rows: Sequence[DatasetRow]) -> Judgement:
        answers = self._trial.answers(candidate.template, rows)
        broken = [self._breaks(row, answer) for row, answer in zip(rows, answers, strict=True)]
        scores = [
            self._score(candidate, row, answer, is_broken)
            for row, answer, is_broken in zip(rows, answers, broken, strict=True)
        ]
        return Judgement(scores, broken, bill(answers, candidate.template, self._price))

    def _breaks(self, row: DatasetRow, answer: FoundAnswer) -> bool:
        # where even the right answer breaks the contract, the row says nothing about it
        right = replace(answer.answer, text=row.wanted, finish="stop", calls=())
        return bool(self._contract and breach(self._contract, answer.answer) and not breach(self._contract, right))

    def _score(self, candidate: FoundCandidate, row: DatasetRow, answer: FoundAnswer, broken: bool) -> AnswerScore:
        tokens = max(0, answer.answer.prompt_tokens)
        score = self._measure.weigh(row, answer.text, tokens, answer.took_us)
        loss = (1.0 if broken else 0.0) * score.valid + (WORTHWHILE if candidate.removes else 0.0)
        return replace(score, score=score.score - loss)


def run(run: JobRun, options: OptimiseOptions) -> FoundOptimiseReport:
    folder = run.settings.data_folder
    prompt = one_of(read_found(found_path(folder)).prompts, options.prompt)
    # a resumed job goes on with the same version and the same rows
    refs = run.step("inputs", options, lambda: _inputs(run.settings, prompt, options), tuple[int, str])
    base = read_template(folder, prompt.id, refs[0])
    if base.base != prompt.newest.number:
        raise JobFailed(f"{prompt.name} was deployed anew; run: foreword prompts adopt {prompt.name}")
    rows = [row for row in find(folder, refs[1]).read() if _fits(row, prompt, base)]
    splits = _splits(rows, run.job.budget.calls, options)
    contract = read_contract(folder, prompt.id)
    measure = measure_of([row for row in splits.learn if row.wanted], ())
    draw = Random(options.seed)
    proposed = candidates(prompt, base, splits.learn, contract, measure.labels, draw)
    proposed = _affordable(proposed, len(splits.choose), run.job.budget.calls - 2 * len(splits.sealed))
    for one in proposed:
        refuse_changes(one.template, base, prompt)
    model = options.model or run.settings.jobs.model or rows[0].model
    with open_models(run) as loop:
        price = run.settings.model_prices.get(model, ModelPrice())
        search = FoundSearch(FoundTrial(loop, prompt, model), measure, contract, price)
        present = FoundCandidate("the present version", base)
        tried, best = _raced(search, [present, *proposed], splits.choose)
        if best is present:
            verdict = f"none of {len(proposed)} candidates did better on {len(splits.choose)} rows to choose by"
            report = FoundOptimiseReport("", verdict, len(proposed))
            _write_lineage(run, prompt, report, tried)
            return report
        seed, winner = (search.judge(one, splits.sealed) for one in (present, best))
    return _settled(run, options, prompt, splits, tried, best, (seed, winner))


def estimate(settings: Settings, options: OptimiseOptions) -> Spent:
    """Return an upper bound of the cost."""
    prompt = one_of(read_found(found_path(settings.data_folder)).prompts, options.prompt)
    base = newest_template(settings.data_folder, prompt.id)
    rows = [row for row in find(settings.data_folder, options.dataset).read() if _fits(row, prompt, base)]
    splits = _splits(rows, settings.jobs.calls, options)
    calls = min(settings.jobs.calls, answers_needed(24, len(splits.choose)) + 2 * len(splits.sealed))
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
    versions = [read_template(settings.data_folder, prompt.id, number) for number in range(1, newest + 1)]
    return next((one.version for one in versions if one.base == prompt.newest.number), newest)


def _fits(row: DatasetRow, prompt: FoundPrompt, base: FoundTemplate) -> bool:
    """Whether a row is of this prompt, and its right answer is known. Rows never serve another key's prompt."""
    return bool(row.template == prompt.id and row.wanted and row.request and len(row.parts) == len(base.slots))


def _splits(rows: Sequence[DatasetRow], calls: int, options: OptimiseOptions) -> Splits:
    if not rows:
        raise JobFailed(
            "the dataset has no row of this prompt with a right answer; send feedback, and run: "
            f"foreword jobs run harvest prompt={options.prompt} name={options.dataset}"
        )
    sizes = affordable(calls, 1, options.choose, options.sealed)
    return split(rows, options.seed, sizes.choose, sizes.sealed)


def _affordable(proposed: Sequence[FoundCandidate], rows: int, calls: int) -> list[FoundCandidate]:
    count = len(proposed)
    while count and answers_needed(count + 1, rows) > calls:
        count -= 1
    return list(proposed[:count])


def _raced(
    search: FoundSearch, arms: Sequence[FoundCandidate], rows: Sequence[DatasetRow]
) -> tuple[list[TriedVersion], FoundCandidate]:
    """Race the candidates. Returns what was tried, and the best candidate that keeps the contract, which may be the
    present version.
    """
    answered: dict[int, Judgement] = {}

    def score(at: int, count: int) -> float:
        answered[at] = search.judge(arms[at], rows[:count])
        return answered[at].score

    order = race(range(len(arms)), len(rows), score)
    answered[0] = search.judge(arms[0], rows)
    full = [at for at in order if len(answered[at].scores) == len(rows)]
    kept = [at for at in full if sum(answered[at].broken) <= sum(answered[0].broken)]
    best = max(kept, key=lambda at: (answered[at].score, -at))
    points = [(one.score, one.bill.cost or one.bill.prompt_tokens, one.bill.ms) for at, one in sorted(answered.items())]
    on_front = front(points)
    tried = [
        TriedVersion(arms[at].by, len(one.scores), round(one.score, 4), sum(one.broken), one.bill, place in on_front)
        for place, (at, one) in enumerate(sorted(answered.items()))
    ]
    return tried, arms[best]


def _settled(
    run: JobRun,
    options: OptimiseOptions,
    prompt: FoundPrompt,
    splits: Splits,
    tried: Sequence[TriedVersion],
    best: FoundCandidate,
    judged: tuple[Judgement, Judgement],
) -> FoundOptimiseReport:
    seed, winner = judged
    pairs = zip(seed.scores, winner.scores, strict=True)
    test = paired([new.correct - old.correct for old, new in pairs], Random(options.seed))
    broken = sum(seed.broken), sum(winner.broken)
    commonest = commonest_share(splits.sealed)
    verdict = (
        f"{best.by}: right {seed.right:.3f} -> {winner.right:.3f} on {test.pairs} sealed rows, difference "
        f"{test.mean:.3f} [{test.low:.3f}, {test.high:.3f}], p = {test.p:.4f}; "
        f"contract broken {broken[0]} -> {broken[1]}; always the commonest answer would be right in {commonest:.3f}"
    )
    is_cheaper = winner.bill.prompt_tokens <= CHEAPER * seed.bill.prompt_tokens
    problem = _problem(best, test, broken, is_cheaper=is_cheaper)
    if not problem and winner.right <= commonest:
        verdict += "; form only"
    report = FoundOptimiseReport(
        "",
        f"{problem}: {verdict}" if problem else verdict,
        len(tried) - 1,
        test,
        seed.right,
        winner.right,
        round(commonest, 3),
        broken,
        (seed.bill, winner.bill),
    )
    _write_lineage(run, prompt, report, tried)
    return report if problem else _published(run, prompt, best, report)


def _problem(best: FoundCandidate, test: Paired, broken: tuple[int, int], *, is_cheaper: bool) -> str:
    """Return why a candidate does not win, or ""."""
    if broken[1] > broken[0]:
        return "it breaks the answer contract more often"
    if best.removes:
        # no label measures what the text is for, so a gain must be one that people notice
        is_noticed = test.low >= WORTHWHILE or (is_cheaper and test.low > -WORTHWHILE)
        return "" if is_noticed else "neither better nor cheaper by enough to leave out text"
    return "" if test.p < LEVEL and test.low > 0 else "not better"


def _published(
    run: JobRun, prompt: FoundPrompt, best: FoundCandidate, report: FoundOptimiseReport
) -> FoundOptimiseReport:
    """Store the winner as far as `[jobs] auto` allows: in the job's folder, as a version, or on trial."""
    auto, folder = run.settings.jobs.auto, run.settings.data_folder
    write_whole(run.folder / WINNER, exported(best.template, prompt.unlocked))
    if auto == "off":
        return replace(report, file=str(run.folder / WINNER))
    template, file = add_template(folder, prompt.id, lambda _: best.template)
    what = "candidate"
    if auto in ("canary", "active"):
        what = "canary" if _on_trial(run.settings, prompt, template.version) else what
    decision = LoggedDecision(f"found:{prompt.name}", template.version, what, report.verdict, run.job.id)
    log_decision(folder, decision)
    return replace(report, won=f"{prompt.name}@{template.version}", file=str(file))


def _on_trial(settings: Settings, prompt: FoundPrompt, version: int) -> bool:
    """Send a version to `[jobs] share` of the conversations. Returns False if another version is being sent."""
    sent: list[FoundPrompt] = []

    def change(content: FoundFile) -> FoundFile:
        own = one_of(content.prompts, prompt.id)
        if own.spoken is None:
            sent.append(replace(own, spoken=PromotedVersion(version, settings.jobs.share, time.time())))
        return put(content, sent)

    change_found(found_path(settings.data_folder), change)
    return bool(sent)


def _write_lineage(
    run: JobRun, prompt: FoundPrompt, report: FoundOptimiseReport, tried: Sequence[TriedVersion]
) -> None:
    lineage = {"job": run.job.id, "prompt": prompt.id, "verdict": report.verdict, "tried": msgspec.to_builtins(tried)}
    write_whole(run.folder / LINEAGE, json.dumps(lineage, indent=1, ensure_ascii=False) + "\n")
