"""Chooses and calls backends: remote servers, and engines in this process."""
