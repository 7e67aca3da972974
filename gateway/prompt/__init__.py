"""Improves prompts: classify, choose a template, fill its slots, guard the result."""
