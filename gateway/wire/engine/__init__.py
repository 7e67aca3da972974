"""Requests to the gateway's own engines, and their answers, as JSON."""
