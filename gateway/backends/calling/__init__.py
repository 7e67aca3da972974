"""Sends requests to deployments. Decides which deployments are skipped and when a request is retried, and races
attempts.
"""
