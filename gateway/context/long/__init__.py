"""Handles input that is longer than the window: searches it, summarises it, or reports that neither is possible."""
