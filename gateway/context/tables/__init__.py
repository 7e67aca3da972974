"""Finds what code can count in a text: tables, lists, and the separate documents in the text."""
