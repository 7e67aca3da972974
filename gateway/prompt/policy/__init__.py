"""Decides which requests are rewritten and which serve as controls, and stores the measured gains."""
