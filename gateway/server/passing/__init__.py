"""Passes requests for every other path below /v1 to a backend, unchanged."""
