"""Readers of one format each: they convert bytes to a document."""
