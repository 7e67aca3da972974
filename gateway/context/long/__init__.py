"""Handles input over the window: searches it, summarises it, or reports that neither is possible."""
