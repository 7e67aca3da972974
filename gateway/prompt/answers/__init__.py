"""Improves answers by checks, votes and further rounds."""
