"""What ends a job before its end."""

from gateway.errors import ForewordError


class JobFailed(ForewordError):
    """The job cannot do what it was asked; the message says why and what to do."""


class BudgetSpent(ForewordError):
    """The job's budget allows no more. What it did so far is kept."""


class Cancelled(ForewordError):
    """Somebody called it off: `foreword jobs cancel`."""
