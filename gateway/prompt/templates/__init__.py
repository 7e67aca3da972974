"""Reads, checks and renders one template file."""
