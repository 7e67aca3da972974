"""The budget of a job. Its limits are strict: a call that could exceed a limit is not made."""

from collections.abc import Mapping

from msgspec import Struct

from gateway.settings.jobs import Jobs, Price
from offline_jobs.errors import BudgetSpent

MILLION = 1_000_000


class JobBudget(Struct, frozen=True):
    """The limits of one job. If `money` is 0, it is not limited."""

    calls: int
    tokens: int
    money: float
    seconds: float


class Spent(Struct, frozen=True):
    """What a job has spent so far, or the most that it would spend."""

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
    """Return the cost in the currency of the prices. A model without a price is free."""
    price = prices.get(model, Price())
    return (prompt_tokens * price.prompt + completion_tokens * price.completion) / MILLION


def admit(budget: JobBudget, spent: Spent, tokens: int, money: float) -> None:
    """Raise `BudgetSpent` if one more call, of up to `tokens` tokens and a cost of up to `money`, could exceed a
    limit."""
    if spent.calls + 1 > budget.calls:
        raise BudgetSpent(f"its {budget.calls:,} calls are used up")
    if spent.tokens + tokens > budget.tokens:
        raise BudgetSpent(
            f"{spent.tokens:,} of its {budget.tokens:,} tokens are used, and the next call needs {tokens:,}"
        )
    if budget.money and spent.money + money > budget.money:
        raise BudgetSpent(
            f"{spent.money:.4f} of its {budget.money:g} of money is spent, and the next call may cost {money:.4f}"
        )


def in_time(budget: JobBudget, spent: Spent) -> None:
    """Raise `BudgetSpent` if the job's time is over."""
    if spent.seconds >= budget.seconds:
        raise BudgetSpent(f"its {budget.seconds / 60:g} minutes are over")
