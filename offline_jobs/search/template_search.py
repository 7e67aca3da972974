"""One template to be made better, as a problem for an optimizer: what was tried, and who proposes next.

First a race: what each rule makes of the template, against the template. The optimizer goes on from the best of them.
"""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Literal

import msgspec
from msgspec import Struct

from gateway.errors import RequestError
from gateway.prompt.templates.fields import Optimise
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.datasets.splits import Splits
from offline_jobs.engine.models import Loop
from offline_jobs.errors import BudgetSpent
from offline_jobs.search import critique
from offline_jobs.search.candidate import Pieces, pieces_of
from offline_jobs.search.optimizer import Proposal, SearchOver, SearchProblem, TriedCandidate, id_of
from offline_jobs.search.propose import ProposalMaterial, proposals
from offline_jobs.search.race import looks, race
from offline_jobs.search.score import AnswerScore
from offline_jobs.search.trial import CandidateTrial

STALE = 12
"""After so many proposals in a row that brought nothing, more of them are a waste."""
USELESS = 3
"""A critic that says nothing usable so many times in a row is not asked again."""


class OptimiseOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What an optimisation can be asked."""

    template: str
    """The one to be made better."""
    dataset: str = "harvest"
    """Whose rows are learnt from, chosen by and decided by."""
    examples: str = ""
    """Another dataset, whose labelled rows are only examples to choose from."""
    model: str = ""
    """That answers; left out: `[jobs] model`."""
    critic: str = ""
    """The model that criticises and rewrites; left out: `[jobs] critic`."""
    judge: str = ""
    """The model that compares answers where nobody said what is right; left out: `[jobs] judge`."""
    engine: Literal["gepa", "climb"] = "gepa"
    """What searches."""
    rules: bool = True
    """Whether rules propose too."""
    nearest: bool = True
    """Whether the nearest examples may be chosen for each request."""
    choose: int = 30
    """So many rows at the most to choose by."""
    sealed: int = 60
    """So many rows at the most that decide."""
    seed: int = 0
    """Of the rows' split and of all draws."""


class TemplateSearch(SearchProblem):
    """The problem for an optimizer, with a log of everything that was tried."""

    def __init__(
        self,
        trial: CandidateTrial,
        splits: Splits,
        looked: Sequence[DatasetRow],
        known: ProposalMaterial,
        asked: OptimiseOptions,
        loop: Loop,
        model: str,
        calls: int,
        each: int,
    ) -> None:
        """`looked`: the rows to learn from that are answered to see what goes wrong; none of them is an example."""
        self.seed = self.start = pieces_of(trial.parent)
        self.rows: tuple[DatasetRow, ...] = (*looked, *splits.choose)
        self.learn = range(len(looked))
        self.choose = range(len(looked), len(self.rows))
        self.log: list[TriedCandidate] = [TriedCandidate(self.seed, "the template", "", -1, {})]
        self.trial = trial
        self._places = {id_of(self.seed): 0}
        self._asked = asked
        self._loop = loop
        self._model = model
        self._calls = calls
        self._reserve = 2 * each * len(splits.sealed)
        self._each = each
        self._known = known
        self._queues: dict[str, Iterator[Proposal]] = {}
        self._rank: dict[str, int] = {}
        self._turn = 0
        self._fruitless = 0
        self._best = float("-inf")
        self._all_right = False
        self._useless = 0
        self.critic_asked = 0
        self._draw = Random(asked.seed)

    def screen(self) -> None:
        """Race the rules' changes of the template, as many as there are calls for; start from the best."""
        found = list(self._rules_for(self.seed))
        while looks(1 + len(found), len(self.choose)) * self._each > self._left():
            del found[-1]
        places = [self._kept(proposal, self.seed) for proposal in found]
        if not places:
            return

        def score(place: int, rows: int) -> float:
            outcomes = self.weigh(self.log[place].pieces, self.choose[:rows])
            return sum(one.score for one in outcomes) / rows

        order = race([0, *places], len(self.choose), score)
        self._rank = {self.log[place].by: rank for rank, place in enumerate(order)}
        self.start = self.log[order[0]].pieces
        self._fruitless = 0

    @property
    def settled(self) -> bool:
        return self._all_right or self._fruitless >= STALE

    def weigh(self, pieces: Pieces, rows: Sequence[int]) -> list[AnswerScore]:
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
        self._look_at(self.log[place])
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
                self._kept(proposal, pieces)
                return proposal
        return None

    def best(self) -> int:
        """Where the best candidate is in the log, by its mean on the rows to choose by."""
        full = [place for place, one in enumerate(self.log) if one.mean(self.choose) is not None]
        return max(full, key=lambda place: (self.log[place].mean(self.choose), -place), default=0)

    def _look_at(self, one: TriedCandidate) -> None:
        mean = one.mean(self.choose)
        if mean is not None and mean > self._best:
            self._best, self._fruitless = mean, 0
            self._all_right = all(one.outcomes[row].correct == 1 for row in self.choose)

    def _kept(self, proposal: Proposal, parent: Pieces) -> int:
        """Its place in the log."""
        self._fruitless += 1
        self._places[id_of(proposal.pieces)] = len(self.log)
        place = self._places[id_of(parent)]
        self.log.append(TriedCandidate(proposal.pieces, proposal.by, proposal.why, place, {}))
        return len(self.log) - 1

    def _by_rule(self, pieces: Pieces) -> Proposal | None:
        queue = self._queues.get(id_of(pieces))
        if queue is None:
            queue = self._queues[id_of(pieces)] = iter(sorted(self._rules_for(pieces), key=self._promise(pieces)))
        return next((proposal for proposal in queue if id_of(proposal.pieces) not in self._places), None)

    def _rules_for(self, pieces: Pieces) -> Iterator[Proposal]:
        """What the rules would make of these pieces, as far as it is new."""
        if not self._asked.rules:
            return
        met = set(self._places)
        for name, changed in proposals(pieces, self._known, self._draw):
            allowed = self._allowed(pieces, changed)
            if id_of(allowed) not in met:
                met.add(id_of(allowed))
                yield Proposal(allowed, f"rule: {name}")

    def _promise(self, pieces: Pieces) -> Callable[[Proposal], tuple[bool, int]]:
        """First what adds to these pieces, then what takes other examples; each in the order of the race."""
        shown = pieces["examples"] != self.seed["examples"]
        return lambda one: (
            shown and one.pieces["examples"] != pieces["examples"],
            self._rank.get(one.by, len(self._rank)),
        )

    def _by_critic(self, pieces: Pieces) -> Proposal | None:
        critic = self._asked.critic or self._loop.models.run.settings.jobs.critic
        seen = self.log[self._places[id_of(pieces)]].outcomes
        places = [row for row in self.learn if row in seen]
        if not critic or not places or self._useless >= USELESS:
            return None
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
        self._useless = self._useless + 1 if id_of(changed) in self._places else 0
        return None if self._useless else Proposal(changed, "critic", found.said)

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
        if rows * self._each > self._left():
            raise SearchOver

    def _left(self) -> int:
        """Calls that the search may still use."""
        return self._calls - self._reserve - self._loop.models.caller.used
