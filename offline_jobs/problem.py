"""One template to be made better, as a problem for an optimizer: what was tried, and who proposes next."""

from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import Literal

import msgspec
from msgspec import Struct

from gateway.errors import RequestError
from gateway.prompt.fields import Optimise
from offline_jobs import critique
from offline_jobs.bandit import best_arm
from offline_jobs.candidate import Pieces, pieces_of
from offline_jobs.errors import BudgetSpent
from offline_jobs.models import Loop
from offline_jobs.propose import Known, proposals
from offline_jobs.rows import Row
from offline_jobs.score import Outcome
from offline_jobs.search import Problem, Proposal, SearchOver, Tried, id_of
from offline_jobs.splits import Splits
from offline_jobs.trial import Trial

FINALISTS, LOOKS = 4, 2


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
        """The sealed rows' calls are set aside from the start.

        A resumed job comes to the same places with the same room: what the ledger answers counts when it is met.
        """
        models = self._loop.models
        limit = self.trial.parent.template.optimise.task_calls or models.run.job.budget.calls
        left = min(limit, models.run.job.budget.calls) - self._reserve - models.caller.used
        if rows * self._each > left:
            raise SearchOver


def _score(outcomes: Iterable[Outcome]) -> float:
    scores = [one.score for one in outcomes]
    return sum(scores) / len(scores)
