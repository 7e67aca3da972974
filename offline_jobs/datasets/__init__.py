"""Datasets of rows to learn from: the modules that read records and judge, scrub and store rows."""
