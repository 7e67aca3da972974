"""Builds a gateway from settings, and the list of stages that a request passes."""
