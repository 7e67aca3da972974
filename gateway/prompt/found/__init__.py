"""Finds and recognises prompts that applications build, from the recorded traffic."""
