"""Decides which requests are rewritten and which are controls. It also stores measured gains."""
