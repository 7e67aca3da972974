"""The search for a better version of a found prompt, as a problem for an optimizer.

It starts with a race between the present version and the rules' proposals. The optimizer goes on from the winner of the
race, with the rules and, if one is configured, a critic.
"""

from collections.abc import Iterator, Sequence
from random import Random

import msgspec
from msgspec import Struct

from gateway.ask import Turn
from gateway.errors import RequestError
from gateway.prompt.found.adopt import FoundTemplate
from gateway.prompt.found.frozen import WrongTemplate, all_texts, fixed_texts, refuse_changes
from gateway.prompt.found.templates import bodies, with_bodies
from offline_jobs.datasets.rows import DatasetRow
from offline_jobs.engine.models import Loop
from offline_jobs.errors import JobFailed
from offline_jobs.found.bill import RequestBill, front
from offline_jobs.found.candidates import FoundCandidate, FoundMaterial, candidates
from offline_jobs.found.judge import Judgement, VersionJudge
from offline_jobs.search import critique
from offline_jobs.search.candidate import Pieces
from offline_jobs.search.optimizer import Proposal, SearchProblem, id_of
from offline_jobs.search.race import answers_needed, race
from offline_jobs.search.score import AnswerScore
from offline_jobs.search.search_budget import SearchBudget
from offline_jobs.search.template_search import STALE, USELESS

VERSION = "version"
"""A candidate has one piece: its template as JSON."""
PRESENT = "the present version"
RULE = (
    " Text between {% frozen %} and {% endfrozen %} has to stay too, with its marks, character for character and in "
    "its order: write your own text beside it."
)


class TriedVersion(Struct, frozen=True):
    """A candidate in the lineage. `score` and `broken` are of the rows to choose by that it answered."""

    by: str
    rows: int
    score: float
    broken: int
    bill: RequestBill
    front: bool = False
    why: str = ""


class LoggedVersion(Struct):
    """A candidate of the search, with the score of each row that it answered, and what it broke."""

    candidate: FoundCandidate
    scores: dict[int, AnswerScore]
    broken: set[int]


class FoundSearch(SearchProblem):
    """The problem for an optimizer. Rows are numbered: first those that are looked at for mistakes, then those to
    choose by.
    """

    def __init__(
        self,
        judge: VersionJudge,
        present: FoundTemplate,
        known: FoundMaterial,
        looked: Sequence[DatasetRow],
        choose: Sequence[DatasetRow],
        budget: SearchBudget,
        each: int,
        draw: Random,
        *,
        rules: bool = True,
        loop: Loop,
        critic: str,
        model: str,
    ) -> None:
        """`each` is the number of calls per row. `critic` is the model that proposes, or "" for none."""
        self.present = FoundCandidate(PRESENT, present)
        self.start = self._pieces(self.present)
        self.learn = range(len(looked))
        self.choose = range(len(looked), len(looked) + len(choose))
        self.log: dict[str, LoggedVersion] = {}
        self.judge = judge
        self._known = known
        self._rows = (*looked, *choose)
        self.budget = budget
        self._each = each
        self._draw = draw
        self._uses_rules = rules
        self._loop = loop
        self._critic = critic
        self._model = model
        self._queues: dict[str, Iterator[FoundCandidate]] = {}
        self._rank: dict[str, int] = {}
        self._turn = self._fruitless = self._useless = 0
        self._best = float("-inf")
        self._all_right = False
        self._log(self.present)

    def affordable_rules(self) -> int:
        """Return how many of the rules' candidates can race, given the number of calls that are left."""
        before = self._draw.getstate()
        count = len(self._rules_for(self.present.template))
        self._draw.setstate(before)  # a resumed job reads the count from its ledger, and must draw the same numbers
        while count and answers_needed(1 + count, len(self.choose)) * self._each > self.budget.left:
            count -= 1
        return count

    def screen(self, count: int) -> None:
        """Race the present version and the first `count` of the rules' candidates. The search starts from the best."""
        arms = [self.present, *self._rules_for(self.present.template)[:count]]
        keys = [self._log(one) for one in arms]

        def score(key: str, rows: int) -> float:
            scores = self.weigh(self._pieces(self.log[key].candidate), self.choose[:rows])
            return sum(one.score for one in scores) / rows

        order = race(keys, len(self.choose), score)
        self._rank = {self.log[key].candidate.by: rank for rank, key in enumerate(order)}
        self.weigh(self._pieces(self.present), self.choose)
        self.start = self._pieces(self.best())
        self._fruitless = 0

    @property
    def settled(self) -> bool:
        return self._all_right or self._fruitless >= STALE

    def weigh(self, pieces: Pieces, rows: Sequence[int]) -> list[AnswerScore]:
        tried = self.log[id_of(pieces)]
        new = [row for row in dict.fromkeys(rows) if row not in tried.scores]
        self.budget.take(len(new) * self._each)
        judged = self.judge.judge(tried.candidate, [self._rows[row] for row in new])
        tried.scores |= dict(zip(new, judged.scores, strict=True))
        tried.broken |= {row for row, is_broken in zip(new, judged.broken, strict=True) if is_broken}
        self._note_progress(tried)
        return [tried.scores[row] for row in rows]

    def propose(self, pieces: Pieces) -> Proposal | None:
        """Return a proposal, or None if nothing is left to try. The rules and the critic take turns."""
        self._turn += 1
        sources = [self._by_rule, self._by_critic]
        for source in sources if self._turn % 2 else reversed(sources):
            candidate = source(pieces)
            if candidate is not None:
                self._fruitless += 1
                self._log(candidate)
                return Proposal(self._pieces(candidate), candidate.by, candidate.why)
        return None

    def best(self) -> FoundCandidate:
        """Return the best version that answered all rows to choose by and breaks the contract no more often than the
        present one, which it may be.
        """
        full = [one for one in self.log.values() if all(row in one.scores for row in self.choose)]
        limit = self._broken(self.log[id_of(self._pieces(self.present))])
        kept = [one for one in full if self._broken(one) <= limit]
        return max(kept, key=self._mean).candidate if kept else self.present

    def tried(self) -> list[TriedVersion]:
        """Return all candidates for the lineage. The Pareto front is that of score, cost and latency."""
        made = [self._tried(one) for one in self.log.values() if any(row in one.scores for row in self.choose)]
        on_front = front([(one.score, one.bill.cost or one.bill.prompt_tokens, one.bill.ms) for one in made])
        return [msgspec.structs.replace(one, front=place in on_front) for place, one in enumerate(made)]

    def _tried(self, one: LoggedVersion) -> TriedVersion:
        rows = [row for row in self.choose if row in one.scores]
        judged: Judgement = self.judge.judge(one.candidate, [self._rows[row] for row in rows])
        by, why = one.candidate.by, one.candidate.why
        return TriedVersion(by, len(rows), round(judged.score, 4), sum(judged.broken), judged.bill, why=why)

    def _broken(self, one: LoggedVersion) -> int:
        return sum(row in one.broken for row in self.choose)

    def _mean(self, one: LoggedVersion) -> float:
        return sum(one.scores[row].score for row in self.choose) / len(self.choose)

    def _note_progress(self, tried: LoggedVersion) -> None:
        if not all(row in tried.scores for row in self.choose):
            return
        if self._mean(tried) > self._best:
            self._best, self._fruitless = self._mean(tried), 0
            self._all_right = all(tried.scores[row].correct == 1 for row in self.choose) and not self._broken(tried)

    def _log(self, candidate: FoundCandidate) -> str:
        key = id_of(self._pieces(candidate))
        self.log.setdefault(key, LoggedVersion(candidate, {}, set()))
        return key

    @staticmethod
    def _pieces(candidate: FoundCandidate) -> Pieces:
        return {VERSION: msgspec.json.encode(candidate.template).decode()}

    def _by_rule(self, pieces: Pieces) -> FoundCandidate | None:
        key = id_of(pieces)
        if key not in self._queues:
            parent = self.log[key].candidate
            rules = self._rules_for(parent.template)
            made = [self._on(parent, one) for one in sorted(rules, key=lambda one: self._rank.get(one.by, 99))]
            self._queues[key] = iter(made)
        return next((one for one in self._queues[key] if id_of(self._pieces(one)) not in self.log), None)

    def _rules_for(self, template: FoundTemplate) -> list[FoundCandidate]:
        if not self._uses_rules:
            return []
        made = candidates(template, self._known, self._draw)
        for one in made:
            refuse_changes(one.template, self.present.template, self._known.prompt)
        return made

    def _on(self, parent: FoundCandidate, change: FoundCandidate) -> FoundCandidate:
        by = change.by if parent.by == PRESENT else f"{parent.by}; {change.by}"
        return FoundCandidate(by, change.template, parent.removes or change.removes)

    def _by_critic(self, pieces: Pieces) -> FoundCandidate | None:
        tried = self.log[id_of(pieces)]
        places = [row for row in self.learn if row in tried.scores]
        if not self._critic or not places or self._useless >= USELESS:
            return None
        self.budget.take(1)
        try:
            reply = self._loop.do(self._loop.models.say(self._question(tried, places), self._critic, critique.SAMPLING))
        except (RequestError, JobFailed):
            return None
        candidate = self._reviewed(tried.candidate, critique.read(reply))
        self._useless = 0 if candidate else self._useless + 1
        return candidate

    def _question(self, tried: LoggedVersion, places: Sequence[int]) -> Sequence[Turn]:
        unlocked = self._known.prompt.unlocked
        earlier = [
            (bodies(one.candidate.template, unlocked), self._mean(one))
            for one in self.log.values()
            if all(row in one.scores for row in self.choose)
        ]
        template = tried.candidate.template
        slots = [slot.name for slot in template.slots]
        rows, scores = [self._rows[row] for row in places], [tried.scores[row] for row in places]
        return critique.question(bodies(template, unlocked), slots, self._model, rows, scores, earlier, RULE)

    def _reviewed(self, parent: FoundCandidate, review: critique.Critique) -> FoundCandidate | None:
        """Return the critic's version, or None if it is none, is known already, or changes what must stay."""
        texts = {**bodies(parent.template, self._known.prompt.unlocked), **review.pieces}
        try:
            template = with_bodies(parent.template, texts["system"], texts["user"])
            refuse_changes(template, self.present.template, self._known.prompt)
        except WrongTemplate:
            return None
        there = {text for _, text in all_texts(template)}
        removes = any(text.is_unlocked and text.text not in there for text in fixed_texts(self._known.prompt))
        by = "critic" if parent.by == PRESENT else f"{parent.by}; critic"
        made = FoundCandidate(by, template, removes, review.text)
        return None if id_of(self._pieces(made)) in self.log else made
