"""Finds the parts of a text in which items can be counted without a model: tables, lists and separate documents."""
