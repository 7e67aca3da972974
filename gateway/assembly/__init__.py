"""Puts the parts together: from settings to a gateway, and the path of a request through it."""
