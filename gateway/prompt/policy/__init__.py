"""Decides which requests are rewritten and which are controls, and knows the measured gain."""
