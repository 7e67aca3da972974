"""Reads files to documents, and cuts documents into chunks."""
