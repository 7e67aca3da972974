"""Builds a gateway from its settings, and the list of stages for a request."""
