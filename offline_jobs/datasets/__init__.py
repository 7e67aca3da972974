"""Datasets of rows to learn from: reading records, judging, scrubbing, storing."""
