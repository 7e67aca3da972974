"""The parts that all jobs share: steps, budget, ledger, models, executor."""
