"""Reads what code can count out of a text: tables, lists, and the documents that it consists of."""
