"""The database's schema: one revision per file, in the order of their numbers."""
