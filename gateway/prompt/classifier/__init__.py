"""The classifier, with its features, its training and its evaluation."""
