"""Computes the vectors of texts."""
