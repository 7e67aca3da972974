"""Adds files to collections."""
