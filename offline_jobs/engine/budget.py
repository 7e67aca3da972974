"""The budget of a job. A call that could exceed a limit is not made."""

from collections.abc import Mapping

from msgspec import Struct

from gateway.settings.jobs import Jobs, Price
from offline_jobs.errors import BudgetSpent

MILLION = 1_000_000


class JobBudget(Struct, frozen=True):
    """The limits of one job. `money` = 0 sets no limit on money."""

    calls: int
    tokens: int
    money: float
    seconds: float


class Spent(Struct, frozen=True):
    """What a job has spent, or an upper bound of what it will spend."""

    calls: int = 0
    tokens: int = 0
    money: float = 0.0
    seconds: float = 0.0

    def __str__(self) -> str:
        money = f", {self.money:.4f} of money" if self.money else ""
        return f"{self.calls:,} calls, {self.tokens:,} tokens{money}, {self.seconds:,.0f} s"


def budget_of(settings: Jobs) -> JobBudget:
    return JobBudget(settings.calls, settings.tokens, settings.money, settings.minutes * 60)


def cost(prices: Mapping[str, Price], model: str, prompt_tokens: int, completion_tokens: int) -> float:
    """Return the cost in the currency of the prices. A model without a price counts as free."""
    price = prices.get(model, Price())
    return (prompt_tokens * price.prompt + completion_tokens * price.completion) / MILLION


def admit(budget: JobBudget, spent: Spent, tokens: int, money: float) -> None:
    """Raise `BudgetSpent` if another call could exceed a limit. The call uses at most `tokens` tokens and costs at most
    `money`."""
    if spent.calls + 1 > budget.calls:
        raise BudgetSpent(f"all {budget.calls:,} calls of the budget are used")
    if spent.tokens + tokens > budget.tokens:
        raise BudgetSpent(
            f"{spent.tokens:,} of {budget.tokens:,} tokens are used, and the next call may need {tokens:,}"
        )
    if budget.money and spent.money + money > budget.money:
        raise BudgetSpent(
            f"{spent.money:.4f} of {budget.money:g} money is spent, and the next call may cost {money:.4f}"
        )


def in_time(budget: JobBudget, spent: Spent) -> None:
    """Raise `BudgetSpent` if the job has used all its time."""
    if spent.seconds >= budget.seconds:
        raise BudgetSpent(f"all {budget.seconds / 60:g} minutes of the budget are used")
