"""The content of the collections, and the search in it."""
