"""What all jobs share: steps, budget, ledger, models, executor."""
