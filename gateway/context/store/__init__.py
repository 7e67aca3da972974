"""The content of the collections, and its search."""
