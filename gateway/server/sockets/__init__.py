"""WebSockets: passed on to a backend, or answered as `/v1/responses` is."""
