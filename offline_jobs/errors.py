"""The errors that end a job early."""

from gateway.errors import ForewordError


class JobFailed(ForewordError):
    """The job cannot be done. The message says why and what to do."""


class BudgetSpent(ForewordError):
    """The job's budget is used up. Finished steps and calls stay in the ledger."""


class Cancelled(ForewordError):
    """The job was cancelled with `foreword jobs cancel`."""
