"""Limits what a search may spend of a job's budget. The calls for the sealed rows are reserved."""

from msgspec import Struct

from offline_jobs.engine.budget import JobBudget
from offline_jobs.engine.models import ANSWER_TOKENS, BookedCaller
from offline_jobs.search.optimizer import SearchOver

MARGIN = 1.25
"""The factor by which answers to sealed rows may be longer than the answers so far."""


class SearchEnd(Struct, frozen=True):
    """The number of calls after which the search ended. A resumed job ends its search at the same number."""

    calls: int


class SearchBudget:
    """What a search may still spend. Raises `SearchOver` if the next calls do not fit into the budget.

    Replies from the ledger count like new replies, so a resumed job has the same budget at each step. `end` is the
    number of calls after which an earlier run ended the search. The resumed search ends after the same number.
    """

    def __init__(
        self, caller: BookedCaller, budget: JobBudget, calls: int, reserve: int, parallel: int, end: int | None = None
    ) -> None:
        self.reason = ""
        """Why the search's budget is used up, or "" if it is not used up."""
        self._caller = caller
        self._budget = budget
        self._calls = calls
        self._reserve = reserve
        self._parallel = parallel
        self._end = end

    @property
    def left(self) -> int:
        """The number of calls that the search may still make."""
        end = self._calls - self._reserve if self._end is None else self._end
        return end - self._caller.used.calls

    def take(self, calls: int) -> None:
        """Raise `SearchOver` if these calls, together with the calls reserved for the verdict, do not fit into the
        budget."""
        if calls > self.left:
            self.reason = f"of {self._calls:,} calls, only the {self._reserve:,} reserved for the sealed rows are left"
        elif self._end is None:
            self.reason = self._costs_too_much(calls)
        if self.reason:
            raise SearchOver

    def _costs_too_much(self, calls: int) -> str:
        used = self._caller.used
        if not used.calls or not used.tokens:
            return ""
        mean = used.tokens / used.calls
        # a call is allowed only if its longest possible answer fits into the job's budget
        ahead = MARGIN * mean * (calls + self._reserve) + self._parallel * (mean + ANSWER_TOKENS)
        if used.tokens + ahead > self._budget.tokens:
            return f"{used.tokens:,} of {self._budget.tokens:,} tokens are used, and the sealed rows need the rest"
        money = used.money / used.tokens * ahead
        if self._budget.money and used.money + money > self._budget.money:
            return f"{used.money:.4f} of {self._budget.money:g} money is spent, and the sealed rows need the rest"
        return ""
