"""Readers of one format each: bytes in, a document out."""
