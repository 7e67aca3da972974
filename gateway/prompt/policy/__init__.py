"""Decides which requests are rewritten and which are controls, and stores measured gains."""
