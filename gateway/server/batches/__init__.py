"""Executes batches of requests for backends that have no batches of their own."""
