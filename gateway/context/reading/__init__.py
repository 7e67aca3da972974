"""Reads files as documents, and cuts documents into chunks."""
