"""Readers. Each converts the bytes of one format to a document."""
