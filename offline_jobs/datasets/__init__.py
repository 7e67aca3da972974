"""Rows to learn from: read, judged, scrubbed, kept by their hash."""
