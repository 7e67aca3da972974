"""The JSON of requests to the gateway's own engines, and of their answers."""
