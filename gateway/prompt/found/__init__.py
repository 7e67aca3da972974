"""Finds prompts that applications build, by reading the recorded traffic, and recognises them in later requests."""
