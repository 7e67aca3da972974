"""Chooses and calls backends, and implements those for remote servers and local engines."""
