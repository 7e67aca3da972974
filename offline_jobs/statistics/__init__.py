"""Statistical tests for the decisions of jobs."""
