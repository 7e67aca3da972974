"""Backends: routing, calling, and remote servers."""
