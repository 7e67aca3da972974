"""Requests to our own engines, and their answers."""
