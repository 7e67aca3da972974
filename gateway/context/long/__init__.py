"""Handles texts that are longer than the window: searches them, summarises them, or reports that neither is
possible.
"""
