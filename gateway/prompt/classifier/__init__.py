"""The classifier: its features, its training, its evaluation."""
