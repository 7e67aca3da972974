"""The errors that end a job early."""

from gateway.errors import ForewordError


class JobFailed(ForewordError):
    """The job cannot do its work; the message says why and what to do."""


class BudgetSpent(ForewordError):
    """The job's budget allows no more. Its steps and calls so far are kept."""


class Cancelled(ForewordError):
    """The job was cancelled: `foreword jobs cancel`."""
