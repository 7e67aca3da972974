"""The classifier: what it sees, what it learned, how it is trained and judged."""
