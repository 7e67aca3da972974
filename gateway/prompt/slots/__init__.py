"""Finds the values of a template's slots in a query."""
