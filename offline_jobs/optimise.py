"""The job `optimise`: a better version of one template, by criticising, proposing and trying out.

The rows of a dataset are split in three. The search sees two parts; the third, sealed, decides by a paired test
whether the best candidate is better than what there is. If it is not, nothing comes of it.
"""

import importlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, Literal

import msgspec
from msgspec import Struct

from gateway.errors import RequestError
from gateway.prompt.fields import Optimise
from gateway.prompt.library import load_library
from gateway.prompt.whole_file import write_whole
from gateway.records.scores import Paired, paired
from gateway.settings import Settings
from offline_jobs import critique
from offline_jobs.bandit import best_arm
from offline_jobs.budget import Spent
from offline_jobs.candidate import (
    Examples,
    Parent,
    Pieces,
    assembled,
    examples_in,
    pieces_of,
    pool_file,
    pool_text,
    read_parent,
)
from offline_jobs.dataset import find
from offline_jobs.embedding import open_embedder
from offline_jobs.errors import BudgetSpent, JobFailed
from offline_jobs.kinds import Kind
from offline_jobs.models import Loop, open_models
from offline_jobs.promote import LINEAGE, WINNER, promote, read_winner
from offline_jobs.propose import Known, known_of, proposals
from offline_jobs.rows import Row
from offline_jobs.run import Run
from offline_jobs.score import Outcome, measure_of
from offline_jobs.search import Optimizer, Problem, Proposal, SearchOver, Tried, id_of, pareto
from offline_jobs.splits import Splits, split
from offline_jobs.trial import Trial

LEVEL = 0.05
FINALISTS, LOOKS = 4, 2
JUDGED = 3
"""Calls a row where a judge compares: the answer, and the judge twice."""


class Asked(Struct, frozen=True, forbid_unknown_fields=True):
    """What an optimisation can be asked."""

    template: str
    dataset: str = "harvest"
    examples: str = ""
    """Another dataset, whose labelled rows are only examples to choose from."""
    model: str = ""
    critic: str = ""
    judge: str = ""
    engine: Literal["gepa", "climb"] = "gepa"
    rules: bool = True
    """Whether rules propose too."""
    nearest: bool = True
    """Whether the nearest examples may be chosen for each request."""
    choose: int = 30
    sealed: int = 60
    seed: int = 0


class Report(Struct, frozen=True):
    """What became of it. `won` is the new version's name, "" if nothing was better."""

    won: str
    said: str
    tried: int
    sealed: Paired | None = None
    start: float = 0.0
    best: float = 0.0
    parts: dict[str, float] = {}
    """The score on the rows to choose by after each change that leads to the winner."""
    file: str = ""


def run(run: Run, asked: Asked) -> Report:
    parent = _parent(run.settings, asked.template)
    rows = _rows(run.settings, asked.dataset)
    splits = split(rows, asked.seed, asked.choose, asked.sealed)
    model = asked.model or run.settings.jobs.model or run.settings.routing.default
    with open_models(run) as loop:
        problem = _problem(run, asked, parent, splits, model, loop)
        optimizer = _optimizer(asked.engine)
        with suppress(SearchOver):
            optimizer.search(problem, Random(asked.seed))
        best = problem.best()
        if best == 0:
            return Report("", "no candidate did better than the template on the rows to choose by", len(problem.log))
        decided = _decide(problem, best, splits.sealed)
    return _settled(run, asked, problem, best, decided, model)


def estimate(settings: Settings, asked: Asked) -> Spent:
    """The search uses what the budget leaves, so at the most all of it."""
    rows = _rows(settings, asked.dataset)
    splits = split(rows, asked.seed, asked.choose, asked.sealed)
    each = 1 if all(row.wanted for row in splits.sealed) else JUDGED
    calls = min(settings.jobs.calls, 2 * each * len(splits.sealed) + 40 * each * len(splits.choose))
    characters = sum(len(row.query) + len(row.wanted) for row in rows) // max(1, len(rows))
    return Spent(calls=calls, tokens=min(settings.jobs.tokens, calls * (characters // 2 + 300)))


class Search(Problem):
    """The problem for an optimizer, with a log of everything that was tried."""

    def __init__(
        self,
        trial: Trial,
        splits: Splits,
        known: Known,
        asked: Asked,
        loop: Loop,
        model: str,
        reserve: int,
        each: int,
    ) -> None:
        self.seed = pieces_of(trial.parent)
        self.rows: tuple[Row, ...] = (*splits.learn, *splits.choose)
        self.learn = range(len(splits.learn))
        self.choose = range(len(splits.learn), len(self.rows))
        self.log: list[Tried] = [Tried(self.seed, "the template", "", -1, {})]
        self.trial = trial
        self._places = {id_of(self.seed): 0}
        self._asked = asked
        self._loop = loop
        self._model = model
        self._reserve = reserve
        self._each = each
        self._known = known
        self._queues: dict[str, Iterator[tuple[str, Pieces]]] = {}
        self._turn = 0
        self.critic_asked = 0
        self._draw = Random(asked.seed)

    def weigh(self, pieces: Pieces, rows: Sequence[int]) -> list[Outcome]:
        place = self._places[id_of(pieces)]
        known = self.log[place].outcomes
        left = [row for row in dict.fromkeys(rows) if row not in known]
        self._room(len(left))
        try:
            found = self.trial.weigh(pieces, [self.rows[row] for row in left], against=self.seed)
        except BudgetSpent as spent:
            raise SearchOver from spent
        grown = {**known, **dict(zip(left, found, strict=True))}
        self.log[place] = msgspec.structs.replace(self.log[place], outcomes=grown)
        return [grown[row] for row in rows]

    def propose(self, pieces: Pieces) -> Proposal | None:
        """Rules and the critic take turns."""
        self._turn += 1
        sources = [self._by_rule, self._by_critic]
        if self._turn % 2 == 0:
            sources.reverse()
        for source in sources:
            proposal = source(pieces)
            if proposal is not None:
                return self._kept(proposal, pieces)
        return None

    def best(self) -> int:
        """Where the best candidate is in the log.

        By its mean on the rows to choose by; where each look costs a judge, a bandit looks at the finalists only.
        """
        if self._each > 1:
            return self._best_of_finalists()
        full = [place for place, one in enumerate(self.log) if one.mean(self.choose) is not None]
        return max(full, key=lambda place: (self.log[place].mean(self.choose), -place), default=0)

    def _best_of_finalists(self) -> int:
        tried = [place for place, one in enumerate(self.log) if one.outcomes]
        arms = sorted(tried, key=lambda place: -_score(self.log[place].outcomes.values()))[:FINALISTS]

        def look(place: int, number: int) -> float:
            return self.weigh(self.log[place].pieces, [self.choose[number % len(self.choose)]])[0].score

        try:
            return best_arm(arms, LOOKS * len(self.choose), look)[0] if arms else 0
        except SearchOver:
            return arms[0]

    def _kept(self, proposal: Proposal, parent: Pieces) -> Proposal:
        self._places[id_of(proposal.pieces)] = len(self.log)
        place = self._places[id_of(parent)]
        self.log.append(Tried(proposal.pieces, proposal.by, proposal.why, place, {}))
        return proposal

    def _by_rule(self, pieces: Pieces) -> Proposal | None:
        if not self._asked.rules:
            return None
        queue = self._queues.setdefault(id_of(pieces), proposals(pieces, self._known, self._draw))
        for name, changed in queue:
            allowed = self._allowed(pieces, changed)
            if id_of(allowed) not in self._places:
                return Proposal(allowed, f"rule: {name}")
        return None

    def _by_critic(self, pieces: Pieces) -> Proposal | None:
        critic = self._asked.critic or self._loop.models.run.settings.jobs.critic
        seen = self.log[self._places[id_of(pieces)]].outcomes
        if not critic or not seen:
            return None
        places = list(seen)
        slots = sorted({*self.trial.parent.template.slots, "query"})
        earlier = [(one.pieces, mean) for one in self.log if (mean := one.mean(self.choose)) is not None]
        turns = critique.question(
            pieces, slots, self._model, [self.rows[row] for row in places], [seen[row] for row in places], earlier
        )
        self._room(1)
        try:
            said = self._loop.do(self._loop.models.say(turns, critic, critique.SAID))
        except BudgetSpent as spent:
            raise SearchOver from spent
        except RequestError:
            return None
        self.critic_asked += 1
        found = critique.read(said)
        changed = self._allowed(pieces, {**pieces, **found.pieces})
        return None if id_of(changed) in self._places else Proposal(changed, "critic", found.said)

    def _allowed(self, pieces: Pieces, changed: Pieces) -> Pieces:
        """What the author froze stays as it is; settings go along with the rest."""
        may: Optimise = self.trial.parent.template.optimise
        if not may.components:
            return changed
        return {name: changed[name] if name in (*may.components, "settings") else pieces[name] for name in pieces}

    def _room(self, rows: int) -> None:
        """The sealed rows' calls are set aside from the start."""
        run = self._loop.models.run
        limit = self.trial.parent.template.optimise.task_calls or run.job.budget.calls
        left = min(limit, run.job.budget.calls) - self._reserve - run.spent.calls
        if rows * self._each > left:
            raise SearchOver


def _problem(run: Run, asked: Asked, parent: Parent, splits: Splits, model: str, loop: Loop) -> Search:
    shots = _rows(run.settings, asked.examples) if asked.examples else splits.learn
    taken = {row.query for row in (*splits.choose, *splits.sealed)}
    shots = [row for row in shots if row.query not in taken]
    measure = measure_of([*splits.learn, *shots], parent.template.checks)
    nearest = asked.nearest and run.settings.embedder is not None
    known = known_of(parent, shots, measure, nearest=nearest)
    judge = asked.judge or run.settings.jobs.judge
    work = run.folder / "work"
    work.mkdir(exist_ok=True)
    embedder = open_embedder(run.settings) if nearest else None
    trial = Trial(loop, parent, measure, model, work, embedder, judge)
    labelled = all(row.wanted for row in (*splits.learn, *splits.choose, *splits.sealed))
    if not labelled and not judge and not parent.template.checks:
        raise JobFailed(
            "nobody said what is right: the dataset needs `wanted`, the template `checks:`, or [jobs] a judge"
        )
    each = 1 if labelled or not judge else JUDGED
    reserve = 2 * each * len(splits.sealed)
    return Search(trial, splits, known, asked, loop, model, reserve, each)


def _decide(problem: Search, best: int, sealed: Sequence[Row]) -> tuple[list[Outcome], list[Outcome]]:
    """The answers of both to the sealed rows, which nobody has seen so far."""
    seed = problem.trial.weigh(problem.seed, sealed, against=problem.seed)
    return seed, problem.trial.weigh(problem.log[best].pieces, sealed, against=problem.seed)


def _settled(
    run: Run, asked: Asked, problem: Search, best: int, decided: tuple[list[Outcome], list[Outcome]], model: str
) -> Report:
    seed, winner = decided
    differences = [new.correct - old.correct for old, new in zip(seed, winner, strict=True)]
    test = paired(differences, Random(asked.seed))
    means = (_mean(seed), _mean(winner))
    better = test.p < LEVEL and test.low > 0
    said = (
        f"right {means[0]:.3f} -> {means[1]:.3f} on {test.pairs} sealed rows, "
        f"difference {test.mean:.3f} [{test.low:.3f}, {test.high:.3f}], p = {test.p:.4f}"
    )
    report = Report("", said, len(problem.log), test, *means, _parts(problem, best))
    lineage = _lineage(run, asked, problem, best, report, model)
    write_whole(run.folder / LINEAGE, json.dumps(lineage, indent=1, ensure_ascii=False) + "\n")
    if not better:
        return msgspec.structs.replace(report, said=f"not better: {said}")
    ref = _write_winner(run, problem, best, lineage)
    file = ""
    if run.settings.jobs.auto != "off":
        to = "canary" if run.settings.jobs.auto in ("canary", "active") else "candidate"
        file = str(promote(run.settings, read_winner(run.folder / "winner"), to, run.job.id))
    return msgspec.structs.replace(report, won=ref, file=file)


def _parts(problem: Search, best: int) -> dict[str, float]:
    path: dict[str, float] = {}
    place = best
    while place >= 0:
        one = problem.log[place]
        mean = one.mean(problem.choose)
        path[one.by] = round(mean, 4) if mean is not None else -1.0
        place = one.parent
    return dict(reversed(path.items()))


def _lineage(run: Run, asked: Asked, problem: Search, best: int, report: Report, model: str) -> dict[str, Any]:
    """Everything that was tried, in plain JSON: who proposed it, why, and how it did."""
    parent = problem.trial.parent
    front = set(pareto(problem.log, problem.choose))
    tried = [
        {
            "id": id_of(one.pieces),
            "parent": id_of(problem.log[one.parent].pieces) if one.parent >= 0 else "",
            "by": one.by,
            "why": one.why,
            "score": one.mean(problem.choose),
            "rows": len(one.outcomes),
            "said": next((outcome.said for outcome in one.outcomes.values() if outcome.said), ""),
            "front": place in front,
            "pieces": _shown(one.pieces),
        }
        for place, one in enumerate(problem.log)
    ]
    return {
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


def _shown(pieces: Pieces) -> Pieces:
    """Without the rows of a pool, which may be many."""
    examples = examples_in(pieces)
    few = Examples(examples.form, examples.k, examples.rows[:20])
    return {**pieces, "examples": json.dumps(msgspec.to_builtins(few), ensure_ascii=False)}


def _write_winner(run: Run, problem: Search, best: int, lineage: dict[str, Any]) -> str:
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
    write_whole(folder / LINEAGE, json.dumps(lineage, indent=1, ensure_ascii=False) + "\n")
    write_whole(folder / WINNER, source)
    return f"{parent.template.id}@{parent.template.version + 1}"


def _parent(settings: Settings, ref: str) -> Parent:
    folders = [(settings.root / folder).resolve() for folder in settings.prompt.templates]
    library, _ = load_library(folders)
    id, _, version = ref.partition("@")
    template = library.speaking.get(id) if not version else library.get(id, int(version))
    template = template or library.get(id)
    if template is None:
        raise JobFailed(f"there is no template {ref!r}; see: foreword templates list")
    return read_parent(Path(template.file))


def _rows(settings: Settings, ref: str) -> list[Row]:
    return list(find(settings.data_folder, ref).read())


def _optimizer(engine: str) -> Optimizer:
    if engine == "climb":
        from offline_jobs.search import Climb

        return Climb()
    try:
        found: Optimizer = importlib.import_module("offline_jobs.search_gepa").Gepa()
    except ImportError as error:
        raise JobFailed("the engine gepa is not installed: pip install 'foreword[jobs]', or engine=climb") from error
    return found


def _score(outcomes: Iterable[Outcome]) -> float:
    scores = [one.score for one in outcomes]
    return sum(scores) / len(scores)


def _mean(outcomes: Sequence[Outcome]) -> float:
    return sum(one.correct for one in outcomes) / len(outcomes)


JOB = Kind(
    "a better version of one template, decided by a test on rows that the search never saw", Asked, run, estimate
)
