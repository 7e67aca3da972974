"""Passes requests and WebSockets to any path of a remote server."""
