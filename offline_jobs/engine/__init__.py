"""What every job gets: steps, budget, ledger, models, an executor."""
