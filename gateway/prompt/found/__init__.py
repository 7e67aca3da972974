"""Prompts that applications build, found in the recorded traffic: their skeletons, their store, their recognition."""
