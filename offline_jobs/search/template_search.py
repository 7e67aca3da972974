"""The search for a better version of one template, as a problem for an optimizer.

The search starts with a race between the template and one candidate per rule. The optimizer continues from
the winner of the race.
"""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Literal

import msgspec
from msgspec import Struct

from gateway.errors import RequestError
from gateway.prompt.templates.fields import Optimise
from gateway.records.scores import WORTHWHILE
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.datasets.splits import Splits
from offline_jobs.engine.models import Loop
from offline_jobs.search import critique
from offline_jobs.search.candidate import Pieces, pieces_of
from offline_jobs.search.optimizer import Proposal, SearchProblem, TriedCandidate, id_of
from offline_jobs.search.propose import ProposalMaterial, proposals
from offline_jobs.search.race import answers_needed, race
from offline_jobs.search.score import AnswerScore
from offline_jobs.search.search_budget import SearchBudget
from offline_jobs.search.trial import CandidateTrial

STALE = 12
"""The search ends after this many proposals in a row without a better score."""
USELESS = 3
"""The critic is not asked again after this many useless replies in a row."""
REMOVAL = WORTHWHILE
"""If a candidate drops the author's system message, its score is lowered by this much. Labels do not measure whether
answers still follow the message's rules on tone and safety."""


class OptimiseOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """The options of an optimisation."""

    template: str = ""
    """The template to improve."""
    prompt: str = ""
    """The adopted prompt to improve, in place of a template: the name or the id of `foreword prompts list`."""
    dataset: str = "harvest"
    """The dataset with the rows to learn from, to choose by and to decide by."""
    examples: str = ""
    """Another dataset, used only for examples."""
    model: str = ""
    """The model that answers. Default: `[jobs] model`."""
    critic: str = ""
    """The model that criticises and rewrites. Default: `[jobs] critic`."""
    judge: str = ""
    """The model that compares answers to rows without `wanted`. Default: `[jobs] judge`."""
    engine: Literal["gepa", "climb"] = "gepa"
    """The search engine that tries candidates."""
    rules: bool = True
    """Whether rules also make proposals."""
    nearest: bool = True
    """Whether each request may get its nearest examples."""
    choose: int = 30
    """The largest number of rows to choose by."""
    sealed: int = 60
    """The largest number of rows to decide by."""
    seed: int = 0
    """The seed of the split and of all random choices."""

    @property
    def problem(self) -> str:
        """What is wrong with the options together, or ""."""
        if bool(self.template) == bool(self.prompt):
            return "give the template to improve (template=ID), or an adopted prompt (prompt=NAME)"
        return ""


class TemplateSearch(SearchProblem):
    """The problem for an optimizer, with the log of all candidates."""

    def __init__(
        self,
        trial: CandidateTrial,
        splits: Splits,
        looked: Sequence[DatasetRow],
        known: ProposalMaterial,
        options: OptimiseOptions,
        loop: Loop,
        model: str,
        budget: SearchBudget,
        each: int,
    ) -> None:
        """`looked` are rows to learn from. They are answered to find failures, and none of them becomes an example.

        `each` is the number of calls per row.
        """
        self.seed = self.start = pieces_of(trial.parent)
        self.rows: tuple[DatasetRow, ...] = (*looked, *splits.choose)
        self.learn = range(len(looked))
        self.choose = range(len(looked), len(self.rows))
        self.log: list[TriedCandidate] = [TriedCandidate(self.seed, "the template", "", -1, {})]
        self.trial = trial
        self.sealed = splits.sealed
        self._places = {id_of(self.seed): 0}
        self._options = options
        self._loop = loop
        self._model = model
        self.budget = budget
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
        self._draw = Random(options.seed)

    def affordable_rules(self) -> int:
        """Return how many of the rules' candidates can race, given the number of calls that are left."""
        before = self._draw.getstate()
        count = len(list(self._rules_for(self.seed)))
        self._draw.setstate(before)  # a resumed job reads the count from its ledger, and must draw the same numbers
        while count and answers_needed(1 + count, len(self.choose)) * self._each > self.budget.left:
            count -= 1
        return count

    def screen(self, count: int) -> None:
        """Race the template and the first `count` of the rules' candidates. The search starts from the best of them."""
        rules = list(self._rules_for(self.seed))[:count]
        places = [self._logged(proposal, self.seed) for proposal in rules]
        if not places:
            return

        def score(place: int, rows: int) -> float:
            outcomes = self.weigh(self.log[place].pieces, self.choose[:rows])
            return sum(outcome.score for outcome in outcomes) / rows

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
        new = [row for row in dict.fromkeys(rows) if row not in known]
        self.budget.take(len(new) * self._each)
        outcomes = self.trial.weigh(pieces, [self.rows[row] for row in new], against=self.seed)
        if self._removes(pieces):
            outcomes = [msgspec.structs.replace(outcome, score=outcome.score - REMOVAL) for outcome in outcomes]
        grown = {**known, **dict(zip(new, outcomes, strict=True))}
        self.log[place] = msgspec.structs.replace(self.log[place], outcomes=grown)
        self._note_progress(self.log[place])
        return [grown[row] for row in rows]

    def _removes(self, pieces: Pieces) -> bool:
        return bool(self.seed["system"].strip()) and not pieces["system"].strip()

    def propose(self, pieces: Pieces) -> Proposal | None:
        """Return a proposal, or None if nothing is left to try. The rules and the critic take turns."""
        self._turn += 1
        sources = [self._by_rule, self._by_critic]
        if self._turn % 2 == 0:
            sources.reverse()
        for source in sources:
            proposal = source(pieces)
            if proposal is not None:
                self._logged(proposal, pieces)
                return proposal
        return None

    def best(self) -> int:
        """Return the log index of the candidate with the best mean score on the rows to choose by."""
        full = [place for place, tried in enumerate(self.log) if tried.mean(self.choose) is not None]
        return max(full, key=lambda place: (self.log[place].mean(self.choose), -place), default=0)

    def _note_progress(self, tried: TriedCandidate) -> None:
        mean = tried.mean(self.choose)
        if mean is not None and mean > self._best:
            self._best, self._fruitless = mean, 0
            self._all_right = all(tried.outcomes[row].correct == 1 for row in self.choose)

    def _logged(self, proposal: Proposal, parent: Pieces) -> int:
        """Log a proposal and return its index."""
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
        """Yield the changes that the rules make to these pieces, except candidates that are already logged."""
        if not self._options.rules:
            return
        known = set(self._places)
        for name, changed in proposals(pieces, self._known, self._draw):
            allowed = self._allowed(pieces, changed)
            if id_of(allowed) not in known:
                known.add(id_of(allowed))
                yield Proposal(allowed, f"rule: {name}")

    def _promise(self, pieces: Pieces) -> Callable[[Proposal], tuple[bool, int]]:
        """Return a sort key for proposals, which orders them by the rank of their rule in the race.

        If the examples were changed already, proposals that keep these examples come first.
        """
        shown = pieces["examples"] != self.seed["examples"]
        return lambda proposal: (
            shown and proposal.pieces["examples"] != pieces["examples"],
            self._rank.get(proposal.by, len(self._rank)),
        )

    def _by_critic(self, pieces: Pieces) -> Proposal | None:
        critic = self._options.critic or self._loop.models.run.settings.jobs.critic
        seen = self.log[self._places[id_of(pieces)]].outcomes
        places = [row for row in self.learn if row in seen]
        if not critic or not places or self._useless >= USELESS:
            return None
        slots = sorted({*self.trial.parent.template.slots, "query"})
        earlier = [(tried.pieces, mean) for tried in self.log if (mean := tried.mean(self.choose)) is not None]
        turns = critique.question(
            pieces, slots, self._model, [self.rows[row] for row in places], [seen[row] for row in places], earlier
        )
        self.budget.take(1)
        try:
            reply = self._loop.do(self._loop.models.say(turns, critic, critique.SAMPLING))
        except RequestError:
            return None
        self.critic_asked += 1
        review = critique.read(reply)
        changed = self._allowed(pieces, {**pieces, **review.pieces})
        self._useless = self._useless + 1 if id_of(changed) in self._places else 0
        return None if self._useless else Proposal(changed, "critic", review.text)

    def _allowed(self, pieces: Pieces, changed: Pieces) -> Pieces:
        """Restore the pieces that the author does not allow to change. Settings may always change."""
        may: Optimise = self.trial.parent.template.optimise
        if not may.components:
            return changed
        return {name: changed[name] if name in (*may.components, "settings") else pieces[name] for name in pieces}
